"""What the docs say of containers is what happens, and each loss has a note."""

from pathlib import Path

from tests.io.conformance import PAGE, page_with, tables


def test_the_tables_of_the_docs_are_right(tmp_path: Path) -> None:
    """Asserts on the way that every conversion and loss is noted."""
    page = PAGE.read_text()
    assert page_with(tables(tmp_path), page) == page
