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


def to_planes(packed: np.ndarray, layout: str) -> list[np.ndarray]:
    """Coefficients to pixels.

    Args:
        packed: ``(h, w, C)`` float32.
        layout: of the packed channels.

    Returns:
        ``(4h, 4w)`` and, for yuv420, twice ``(2h, 2w)``; three planes for rgb.
    """
    height, width, channels = packed.shape
    flat = packed.reshape(-1, channels)
    planes = []
    for start, count in zip(mean_channels(layout), block_channels(layout), strict=True):
        side = math.isqrt(count)
        block = flat[:, start : start + count] @ cosine_basis(side)
        rows = block.reshape(height, width, side, side).swapaxes(1, 2)
        planes.append(rows.reshape(height * side, width * side))
    return planes


def from_planes(planes: list[np.ndarray], layout: str) -> np.ndarray:
    """Inverse of `to_planes`."""
    side = math.isqrt(block_channels(layout)[0])
    height, width = (n // side for n in planes[0].shape)
    packed = np.empty((height, width, LAYOUT_CHANNELS[layout]), np.float32)
    for plane, start, count in zip(
        planes, mean_channels(layout), block_channels(layout), strict=True
    ):
        side = math.isqrt(count)
        block = plane.reshape(height, side, width, side).swapaxes(1, 2)
        packed[..., start : start + count] = (
            block.reshape(-1, count) @ cosine_basis(side).T
        ).reshape(height, width, count)
    return packed
