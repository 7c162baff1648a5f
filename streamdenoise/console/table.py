"""Tables as text: aligned columns for the terminal, Markdown for reports."""

from collections.abc import Iterable, Sequence

from streamdenoise.security.plain_text import printable


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad cells into columns, a line per row; rows may have missing cells."""
    rows = [[*map(printable, row)] for row in rows]
    count = max(map(len, rows))
    padded = [[*row, *[""] * (count - len(row))] for row in rows]
    # A short row, such as one long remark, does not widen the columns.
    full = [row for row, raw in zip(padded, rows, strict=True) if len(raw) == count]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in padded
    ]


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 0
) -> list[str]:
    """Lines of a table in Markdown.

    Args:
        header: Names of the columns.
        rows: As many cells each.
        numbers_from: Index of the first column to align right; 0 aligns none.

    Raises:
        ValueError: A row has more or fewer cells.
    """
    left = numbers_from or len(header)
    rule = [*["---"] * left, *["---:"] * (len(header) - left)]
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(rule) + "|"]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"{len(row)} cells in a table of {len(header)} columns")
        lines.append("| " + " | ".join(map(printable, row)) + " |")
    return lines
