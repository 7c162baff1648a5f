"""Where the cells of a frame were in an earlier one, and what the two tell."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamdenoise.imaging.noise_bounds import Details, temporal_bound
from streamdenoise.imaging.noise_cells import SPARSE, CellGrid

_REPEATED = 0.5
"""A still cell with more equal samples than this was copied by the codec, not taken
anew."""
_STILL_PX, _STILL_LAGS = 0.15, 4
"""Cells that moved no further than this from frame to frame, for so many frames at
most, are still."""
_MOST_STILL = 0.6
"""With this share of still cells the camera stands."""


class Track:
    """The cells in an earlier frame; what is not asked for is not worked out.

    Attributes:
        lag: number of frames to it.
        is_still: ``(N,)`` whether they are where they were.
    """

    def __init__(
        self,
        grid: CellGrid,
        planes: Sequence[np.ndarray],
        now: Mapping[tuple[int, int], Details],
        speed: np.ndarray,
        lag: int,
    ) -> None:
        """Find the cells of a frame in an earlier one.

        Args:
            grid: the cells.
            planes: of the earlier frame.
            now: details of the new frame, by kind of plane (0 luma, 1 both colors) and
                scale.
            speed: ``(N, 2)`` pixels a frame (right, down) by which the cells seem to
                have moved on the way back.
            lag: number of frames to it.
        """
        self.lag = lag
        self._now = now
        self._found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        vectors = np.rint(lag * speed).astype(np.int64)
        self._cells = [grid.cut(planes, vectors)]
        # Each scale finds the last pixels for the next one; the coarsest needs two
        # rounds.
        for scale in (4, 4, 2, 1):
            motion = vectors + self._bound_and_motion(0, scale)[1]
            moved = np.rint(motion).astype(np.int64)
            if scale > 1 and (moved != vectors).any():
                vectors = moved
                self._cells = [grid.cut(planes, vectors)]
                self._found.clear()
        colors = grid.cut_colors(planes, vectors)
        if colors is not None:
            self._cells.append(colors)
        self.is_still = (abs(motion) <= _STILL_PX * min(lag, _STILL_LAGS)).all(1)
        self._is_in_place = ~vectors.any(1)

    @property
    def stands(self) -> bool:
        """Whether the camera stands."""
        return bool(self.is_still.mean() > _MOST_STILL)

    def bound(self, kind: int, scale: int) -> np.ndarray:
        """Upper bound of the variance of one scale: ``(N,)``, for colors ``(2 N,)``."""
        return self._bound_and_motion(kind, scale)[0]

    def repeated(self, kind: int, cells: np.ndarray) -> np.ndarray:
        """Whether the codec has copied a cell of the new frame from this one."""
        in_place = np.tile(self._is_in_place, 1 + kind)
        return in_place & repeated(cells, self._cells[kind])

    def _bound_and_motion(self, kind: int, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """See `temporal_bound`."""
        key = (kind, scale)
        if key not in self._found:
            then = Details.of(self._cells[kind], scale)
            self._found[key] = temporal_bound(self._now[key], then)
        return self._found[key]


def repeated(cells: np.ndarray, past: np.ndarray) -> np.ndarray:
    """Whether cells ``(side, N, side)`` were there in an earlier frame: ``(N,)``."""
    equal = cells[SPARSE] == past[SPARSE]
    return equal.mean((0, 2)) > _REPEATED
