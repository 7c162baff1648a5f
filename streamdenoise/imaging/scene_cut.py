"""Scene cuts: where the recurrent state would only do harm."""

import numpy as np

_GRID = 4
_CELL = 8
_LEVELS = 0.09
"""Mean change of a cell, as a share of full scale, that a cut goes beyond."""
_JUMP = 4.0
"""How many times the usual change of this stream a cut is."""


class SceneCutDetector:
    """Compares coarse luma of successive frames, against the stream's usual change."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def update(self, luma: np.ndarray, peak: int) -> bool:
        """Take a frame in; True when it starts a new scene.

        Args:
            luma: ``(H, W)`` ``uint8`` or ``uint16``.
            peak: full scale.
        """
        coarse = luma[::_GRID, ::_GRID].astype(np.float32) / peak
        # Cells average the noise away; tiny pictures keep their few samples.
        cell = min(_CELL, *coarse.shape)
        rows, columns = (n // cell for n in coarse.shape)
        cells = coarse[: rows * cell, : columns * cell]
        cells = cells.reshape(rows, cell, columns, cell).mean((1, 3))
        last, self._last = self._last, cells
        if last is None or last.shape != cells.shape:
            return False
        change = float(np.abs(cells - last).mean())
        cut = change > _LEVELS and change > _JUMP * self._usual
        if not cut:
            self._usual = max(0.9 * self._usual + 0.1 * change, 0.002)
        return cut
