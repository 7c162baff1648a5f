"""Columns of text for the terminal."""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines whose cells begin below each other; rows may be short."""
    count = max(map(len, rows))
    padded = [[*row, *[""] * (count - len(row))] for row in rows]
    # A row of one long remark does not widen the columns of the others.
    full = [row for row, raw in zip(padded, rows, strict=True) if len(raw) == count]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in padded
    ]
