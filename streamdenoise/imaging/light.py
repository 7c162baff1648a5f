"""Light that changes: exposure and white balance, which the past has to follow.

A camera that adapts moves all of a plane by less than the noise from frame to frame. In
single places that cannot be told from noise, so a running mean would lag behind; over
the whole frame it is plain.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_SIDE = 16
"""Pixels of luma of the cells whose means are compared."""
_FEWEST = 48
_LEAST = 0.15 / 255
"""Smaller changes are left to the running mean."""


class LightFollower:
    """Finds how much each plane of a stream has changed since the last frame."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: list[np.ndarray] = []

    def change(
        self, planes: Sequence[np.ndarray], flow: np.ndarray | None, peak: int
    ) -> list[float] | None:
        """Compare a frame with the last one, cell by cell where each has moved to.

        Half of the cells may change for other reasons; the median does not care.

        Args:
            planes: ``uint8`` or ``uint16``; the first has sides that are multiples of
                `CELL`.
            flow: see `FlowEstimator.flow`.
            peak: full scale, 255 or 1023.

        Returns:
            The change of each plane, as a share of full scale; None if there is none.
        """
        rows, columns = (n // _SIDE for n in planes[0].shape)
        if rows * columns < _FEWEST:
            return None
        size = (columns, rows)
        cells = [
            cv2.resize(plane.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            for plane in planes
        ]
        last, self._last = self._last, cells
        if not last:
            return None
        if flow is not None:
            small = cv2.resize(flow, size, interpolation=cv2.INTER_AREA) / _SIDE
            at = small + np.indices((rows, columns))[::-1].transpose(1, 2, 0)
            at = at.astype(np.float32)
            last = [_moved(cell, at) for cell in last]
        changes = [
            float(np.median(now - then)) / peak
            for now, then in zip(cells, last, strict=True)
        ]
        changes = [x if abs(x) > _LEAST else 0.0 for x in changes]
        return changes if any(changes) else None


def _moved(cells: np.ndarray, at: np.ndarray) -> np.ndarray:
    # OpenCV's type stubs do not know that both coordinates can be in one map.
    return cv2.remap(cells, at, None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)  # pyright: ignore
