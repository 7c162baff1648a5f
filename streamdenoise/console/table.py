"""Tables of plain text for the terminal."""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad cells into columns, a line per row; rows may have missing cells."""
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
