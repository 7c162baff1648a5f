"""Blocks of 4x4 luma pixels as channels: what models work on, and their transform."""

import math

import numpy as np

LAYOUT_CHANNELS = {"yuv420": 24, "rgb": 48, "gray": 16}
"""Channels of a layout: 16 of a luma block and twice 4 of chroma for yuv420."""


def block_channels(layout: str) -> tuple[int, ...]:
    """Channels of each plane of a layout."""
    return {"yuv420": (16, 4, 4), "rgb": (16, 16, 16), "gray": (16,)}[layout]


def mean_channels(layout: str) -> list[int]:
    """Channels that hold the means of blocks, times the side of the block."""
    counts = block_channels(layout)
    return [sum(counts[:i]) for i in range(len(counts))]


def cosine_basis(side: int) -> np.ndarray:
    """Orthonormal two-dimensional DCT-II of a block.

    Returns:
        ``(side**2, side**2)`` float32: a row a coefficient, by rising vertical, then
        horizontal frequency; a column a pixel, in raster order.
    """
    n = np.arange(side)
    rows = np.cos(np.pi / side * (n + 0.5) * n[:, None]) * math.sqrt(2 / side)
    rows[0] *= math.sqrt(0.5)
    return np.kron(rows, rows).astype(np.float32)
