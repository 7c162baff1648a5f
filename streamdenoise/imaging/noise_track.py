"""Where the cells of a frame were in an earlier one, and what the two tell."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamdenoise.imaging.noise_bounds import Details, temporal_bound
from streamdenoise.imaging.noise_cells import SPARSE, CellGrid

_REPEATED = 0.5
"""A still cell with more equal samples than this was copied by the codec, not taken
anew."""
_STILL_PX = 0.3
"""Cells that moved no further than this are still."""


class Track:
    """The cells in an earlier frame; what is not asked for is not worked out.

    Attributes:
        motion: ``(N, 2)`` pixels (right, down) to where the cells were.
        is_still: ``(N,)`` whether they are where they were.
    """

    def __init__(
        self,
        grid: CellGrid,
        planes: Sequence[np.ndarray],
        now: Mapping[tuple[int, int], Details],
        motion: np.ndarray,
    ) -> None:
        """Find the cells of a frame in an earlier one.

        Args:
            grid: the cells.
            planes: of the earlier frame.
            now: details of the new frame, by level.
            motion: ``(N, 2)`` pixels to where the cells seem to have been.
        """
        self._now = now
        self._found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        vectors = np.rint(motion).astype(np.int64)
        self._cells = grid.cut(planes, vectors)
        # Each scale finds the last pixels for the next one; the coarsest needs two
        # rounds.
        for scale in (4, 4, 2, 1):
            motion = vectors + self._bound_and_motion(0, scale)[1]
            moved = np.rint(motion).astype(np.int64)
            if scale > 1 and (moved != vectors).any():
                vectors = moved
                self._cells = grid.cut(planes, vectors)
                self._found.clear()
        self.motion = motion
        self.is_still = (abs(motion) <= _STILL_PX).all(1)
        self._is_in_place = ~vectors.any(1)

    def bound(self, plane: int, scale: int) -> np.ndarray:
        """Upper bound ``(N,)`` of the variance of one level."""
        return self._bound_and_motion(plane, scale)[0]

    def repeated(self, plane: int, cells: np.ndarray) -> np.ndarray:
        """Whether the codec has copied a cell ``(N,)`` of the new frame from this."""
        equal = cells[SPARSE] == self._cells[plane][SPARSE]
        return self._is_in_place & (equal.mean((0, 2)) > _REPEATED)

    def _bound_and_motion(
        self, plane: int, scale: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `temporal_bound`."""
        key = (plane, scale)
        if key not in self._found:
            then = Details.of(self._cells[plane], scale)
            self._found[key] = temporal_bound(self._now[key], then)
        return self._found[key]
