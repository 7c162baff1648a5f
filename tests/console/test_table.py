"""Tables as text."""

import pytest

from streamdenoise.console.table import align, markdown_table


def test_columns_are_aligned_except_after_a_long_remark() -> None:
    rows = [("name", "fps"), ("nano", "40"), ("a remark longer than any name",)]
    assert align(rows) == ["name  fps", "nano  40", "a remark longer than any name"]


def test_a_markdown_table_aligns_numbers_right() -> None:
    lines = markdown_table(("name", "fps"), [("nano", "40")], numbers_from=1)
    assert lines == ["| name | fps |", "|---|---:|", "| nano | 40 |"]
    assert markdown_table(("a", "b"), []) == ["| a | b |", "|---|---|"]


def test_a_markdown_table_takes_no_short_rows() -> None:
    with pytest.raises(ValueError, match="1 cells in a table of 2"):
        markdown_table(("a", "b"), [("x",)])
