"""Pixels of 4x4 blocks as channels: the layout of a deployed graph's frames.

Inside a graph this reordering takes longer than the arithmetic around it (12 of 34 ms
for the four reorderings of a 720p frame in OpenVINO); NumPy needs a quarter of a
millisecond for each, because it moves one row of a block as one wide number.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from streamdenoise.stage_times import Work, timed

LAYOUT_CHANNELS = {"yuv420": 24, "rgb": 48, "gray": 16}
"""Number of channels of each layout: for yuv420 16 of luma and twice 4 of chroma."""

_WIDE = {2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128}
"""Size in bytes -> a type of that size. Values are moved, never computed with."""


def plane_shapes_of(blocks: np.ndarray) -> list[tuple[int, int]]:
    """Shapes of the planes in blocks of 24 (yuv420), 48 (rgb) or 16 (gray) channels."""
    height, width, channels = blocks.shape
    (layout,) = (name for name, n in LAYOUT_CHANNELS.items() if n == channels)
    return layout_shapes(layout, 4 * height, 4 * width)


def layout_shapes(layout: str, height: int, width: int) -> list[tuple[int, int]]:
    """Shapes of the planes of a frame of even size."""
    whole, half = (height, width), (height // 2, width // 2)
    return {"yuv420": [whole, half, half], "rgb": 3 * [whole], "gray": [whole]}[layout]


def changes_of_channels(changes: Sequence[float], channels: int) -> np.ndarray:
    """The values of planes ``(P,)``, repeated for their pixels in a block: ``(C,)``."""
    counts = {24: (16, 4, 4), 48: (16, 16, 16), 16: (16,)}[channels]
    return np.repeat(np.array(changes, np.float32), counts)


def gather_blocks(planes: Sequence[np.ndarray], blocks: np.ndarray) -> None:
    """Write planes into blocks.

    Args:
        planes: ``(H, W)`` each; their shapes are `plane_shapes_of` the blocks, and
            their type is that of the blocks.
        blocks: ``(H / 4, W / 4, C)``, contiguous: raster order within a block, 16
            pixels of luma, then 4 of each chroma plane.
    """
    with timed(Work.BLOCKS):
        for rows, columns in _pairs(planes, blocks):
            # Along the rows of the frame: short inner loops would take four times as
            # long.
            for i in range(rows.shape[1]):
                columns[:, :, i] = rows[:, i]


def scatter_blocks(blocks: np.ndarray, planes: Sequence[np.ndarray]) -> None:
    """The inverse of `gather_blocks`; `planes` must be contiguous."""
    with timed(Work.BLOCKS):
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
