"""Test frames that show their number in a form that survives encoding.

Uses only the standard library, as servers in other Pythons draw them, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from streamdenoise.frame import Frame

COLUMNS, ROWS = 16, 2
"""Cells of the bar code in the lowest quarter of the frame: 24 bits of the number and
an 8-bit checksum, lowest bit first."""

_DARK, _BRIGHT = 40, 210


def _word(number: int) -> int:
    number &= 0xFFFFFF
    # Each bit of the number changes many bits of the checksum: smears do not pass.
    check = (number * 0x9E3779B1 >> 24 ^ 0xA5) & 0xFF
    return number << 8 | check


def draw(number: int, width: int, height: int) -> bytes:
    """An I420 frame: a moving gradient, and below it `number` modulo 2 ** 24."""
    word = _word(number)
    top = height - height // 4
    slope = (bytes(range(60, 180)) + bytes(range(180, 60, -1))) * (width // 240 + 2)
    luma = []
    for y in range(top):
        begin = (2 * number + y) % 240
        luma.append(slope[begin : begin + width])
    levels = [_BRIGHT if word >> bit & 1 else _DARK for bit in range(COLUMNS * ROWS)]
    bands = [
        bytes(levels[row * COLUMNS + x * COLUMNS // width] for x in range(width))
        for row in range(ROWS)
    ]
    luma += [bands[y * ROWS // (height - top)] for y in range(height - top)]
    chroma = ((width + 1) // 2) * ((height + 1) // 2)
    return b"".join(luma) + bytes([118]) * chroma + bytes([138]) * chroma


def frame_number(frame: Frame) -> int | None:
    """The number that a frame shows; None if it cannot be read."""
    return number_in(frame.planes[0])


def number_in(luma: np.ndarray) -> int | None:
    """The number in a luma plane ``(H, W)`` of 8 or 10 bits; None if unreadable."""
    height, width = luma.shape[:2]
    top = height - height // 4
    shift = 0 if luma.itemsize == 1 else 2
    threshold = (_DARK + _BRIGHT) / 2 * (1 << shift)
    word = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        x, cell_width = column * width / COLUMNS, width / COLUMNS
        cell_height = (height - top) / ROWS
        y = top + row * cell_height
        # The edges of cells may be smeared.
        cell = luma[
            int(y + cell_height / 4) : int(y + cell_height * 3 / 4) + 1,
            int(x + cell_width / 4) : int(x + cell_width * 3 / 4) + 1,
        ]
        word |= int(cell.mean() > threshold) << bit
    number = word >> 8
    return number if word == _word(number) else None
