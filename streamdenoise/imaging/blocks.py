"""Pixels of 4x4 blocks as channels: what deployed graphs take and give.

Runtimes take several times as long for this reordering as for the arithmetic around it
(12 of 34 ms for the four of a 720p frame in OpenVINO), numpy a quarter of a
millisecond each. A side of a block is moved as one wide number.
"""

from collections.abc import Iterator, Sequence

import numpy as np

_WIDE = {2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}
"""Types by their size in bytes; only moved, never computed with."""


def plane_shapes_of(blocks: np.ndarray) -> list[tuple[int, int]]:
    """Shapes of the planes that lie in blocks of 24 (yuv420), 48 (rgb) or 16 (gray)."""
    height, width, channels = blocks.shape
    layout = {24: "yuv420", 48: "rgb", 16: "gray"}[channels]
    return layout_shapes(layout, 4 * height, 4 * width)


def layout_shapes(layout: str, height: int, width: int) -> list[tuple[int, int]]:
    """Shapes of the planes of a picture of even size."""
    whole, half = (height, width), (height // 2, width // 2)
    return {"yuv420": [whole, half, half], "rgb": 3 * [whole], "gray": [whole]}[layout]


def gather_blocks(planes: Sequence[np.ndarray], blocks: np.ndarray) -> None:
    """Write planes into blocks.

    Args:
        planes: ``(H, W)`` each, of `plane_shapes_of` the blocks and of their type.
        blocks: ``(H / 4, W / 4, C)``, contiguous: raster order within a block, 16
            pixels of luma, then 4 of each chroma plane.
    """
    for rows, columns in _pairs(planes, blocks):
        # Along the picture's rows: short inner loops would cost four times as much.
        for i in range(rows.shape[1]):
            columns[:, :, i] = rows[:, i]


def scatter_blocks(blocks: np.ndarray, planes: Sequence[np.ndarray]) -> None:
    """The inverse of `gather_blocks`; `planes` must be contiguous."""
    for rows, columns in _pairs(planes, blocks):
        for i in range(rows.shape[1]):
            rows[:, i] = columns[:, :, i]


def _pairs(
    planes: Sequence[np.ndarray], blocks: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Views of each plane, ``(h, side, w)``, and of its channels, ``(h, w, side)``."""
    height, width, _ = blocks.shape
    first = 0
    for plane, shape in zip(planes, plane_shapes_of(blocks), strict=True):
        if plane.shape != shape or plane.dtype != blocks.dtype:
            raise TypeError(
                f"a plane must be {shape} {blocks.dtype}, got {plane.shape} "
                f"{plane.dtype}"
            )
        side = shape[1] // width
        wide = _WIDE[side * plane.itemsize]
        rows = np.ascontiguousarray(plane).view(wide).reshape(height, side, width)
        last = first + side * side
        yield rows, blocks.view(wide)[..., first // side : last // side]
        first = last
