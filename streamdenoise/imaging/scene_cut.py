"""Scene cuts, after which the recurrent state would only do harm."""

import numpy as np

_GRID = 4
_CELL = 8
_LEVELS = 0.09
"""A cut changes cells by more than this share of full scale on average."""
_JUMP = 4.0
"""A cut changes cells by more than this many times the stream's usual change."""


class SceneCutDetector:
    """Compares the coarse luma of successive frames with the stream's usual change."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def update(self, luma: np.ndarray, peak: int) -> bool:
        """Take the next frame; return whether it starts a new scene.

        Args:
            luma: ``(H, W)`` ``uint8`` or ``uint16``.
            peak: full scale.
        """
        coarse = luma[::_GRID, ::_GRID].astype(np.float32) / peak
        # Cells average the noise away; tiny frames keep their few samples.
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
