"""Cells: squares spread over a frame, which stand for all of it in the noise estimate.

A cell is cut out here and, moved by whole pixels, from an earlier frame. Interpolation
would remove noise; whole pixels keep it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from streamdenoise.imaging.channels import OPPONENT

SIDE = 48
"""Side of a cell in pixels of luma. Chroma of yuv420 has half of it."""
SPARSE = np.s_[::3, :, ::3]
"""Samples of cells, as `CellGrid.cut` returns them, where a share is counted."""
_CLOSEST = 16
"""Cells of small frames overlap, but start this far from each other."""
_OFFSETS = (0.5, 0.0, 0.75, 0.25, 1.0)
"""Share of the room between cells by which successive measurements are moved."""


def padded(planes: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Mirror planes that are smaller than a cell until one fits."""
    missing = [max(0, SIDE - n) for n in planes[0].shape[:2]]
    if not any(missing):
        return planes
    out: list[np.ndarray] = []
    for index, plane in enumerate(planes):
        side = SIDE // 2 if index else SIDE
        below, right = (max(0, side - n) for n in plane.shape[:2])
        mode = cv2.BORDER_REFLECT_101
        out.append(cv2.copyMakeBorder(plane, 0, below, 0, right, mode))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class CellGrid:
    """Where the cells of a frame are.

    Attributes:
        tops: ``(N,)`` first rows, in pixels of luma; even.
        lefts: ``(N,)`` first columns; even.
    """

    tops: np.ndarray
    lefts: np.ndarray

    @classmethod
    def spread(cls, luma: np.ndarray, count: int, turn: int = 0) -> "CellGrid":
        """Spread at most about `count` cells evenly over a frame.

        Args:
            luma: its first plane, `SIDE` or more on each side.
            count: how many; small frames have fewer.
            turn: number of the measurement: each one looks at other places.
        """
        height, width = luma.shape[:2]
        rows = max(1, round((count * height / width) ** 0.5))
        tops = _starts(height - SIDE, rows, _OFFSETS[turn % len(_OFFSETS)])
        columns = max(1, count // len(tops))
        lefts = _starts(width - SIDE, columns, _OFFSETS[turn // 2 % len(_OFFSETS)])
        return cls(np.repeat(tops, len(lefts)), np.tile(lefts, len(tops)))

    def cut(
        self, planes: Sequence[np.ndarray], vectors: np.ndarray | None = None
    ) -> np.ndarray:
        """Cut the cells of luma out.

        Args:
            planes: of yuv420 or gray ``(H, W)``, or a single ``(H, W, 3)`` of RGB.
            vectors: ``(N, 2)`` whole pixels (right, down) by which the cells are moved.

        Returns:
            ``(SIDE, N, SIDE)``: cells side by side, because long rows are fast; int16
            if the planes are ``uint8``, else float32. The luma of RGB, float32, is the
            first of `channels.OPPONENT`.
        """
        right, down = (0, 0) if vectors is None else vectors.T
        cells = _cut(planes[0], self.tops + down, self.lefts + right, SIDE)
        return cells if cells.ndim == 3 else _mixed(cells, OPPONENT[0])

    def cut_colors(
        self, planes: Sequence[np.ndarray], vectors: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Cut the cells of both color planes out: ``(side, 2 N, side)``, see `cut`.

        The colors of RGB are the other two of `channels.OPPONENT`. Gray has none.
        """
        right, down = (0, 0) if vectors is None else vectors.T
        if planes[0].ndim == 3:
            cells = _cut(planes[0], self.tops + down, self.lefts + right, SIDE)
            both = [_mixed(cells, color) for color in OPPONENT[1:]]
        else:
            # At even places, a plane enlarged by two is reduced to what it was before.
            tops = self.tops // 4 * 2 + down // 2
            lefts = self.lefts // 4 * 2 + right // 2
            both = [_cut(plane, tops, lefts, SIDE // 2) for plane in planes[1:]]
        return np.concatenate(both, 1) if both else None


def halved(plane: np.ndarray) -> np.ndarray:
    """A plane reduced by two; OpenCV is far faster at that than at other factors."""
    height, width = (n // 2 for n in plane.shape)
    whole = plane[: 2 * height, : 2 * width]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def _starts(room: int, count: int, offset: float) -> np.ndarray:
    """Even starts, at most `count`, over the whole of `room` pixels."""
    count = min(count, room // _CLOSEST + 1)
    starts = (np.arange(count) + offset) * room / max(count - 1 + 2 * offset, 1)
    return starts.astype(np.int64).clip(0, room) // 2 * 2


def _cut(
    plane: np.ndarray, tops: np.ndarray, lefts: np.ndarray, side: int
) -> np.ndarray:
    """Squares of a plane; those that would leave it are moved back into it."""
    height, width = plane.shape[:2]
    if plane.ndim == 3:
        # Colors stay next to each other.
        windows = sliding_window_view(plane, (side, side, 3))[:, :, 0]
    else:
        windows = sliding_window_view(plane, (side, side))
    tops = np.minimum(np.maximum(tops, 0), height - side)
    lefts = np.minimum(np.maximum(lefts, 0), width - side)
    cells = windows[tops, lefts]
    # Integers of two bytes are faster, if they hold the sums and differences.
    kind = np.int16 if plane.dtype == np.uint8 else np.float32
    return np.ascontiguousarray(cells.swapaxes(0, 1), kind)


def _mixed(cells: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix three colors ``(side, N, side, 3)`` into one."""
    colors = cells.reshape(len(cells), -1, 3).astype(np.float32)
    mixed = cv2.transform(colors, share[None])
    return mixed.reshape(cells.shape[:3])
