"""Runs large frames through a small engine, tile by tile."""

from collections.abc import Sequence

import numpy as np

from streamdenoise.inference.backend import Backend
from streamdenoise.inference.backends.host_state import HostState
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.inference.tiles import Tile, scaled, spans


class TiledBackend(HostState):
    """Holds the state of the whole frame, and lends each tile its part."""

    def __init__(self, request: StepRequest, engine: Backend, tile: Tile) -> None:
        """Divide the frame into tiles.

        Args:
            request: for the whole frame.
            engine: for frames of the tile's size; `close` closes it.
            tile: see `tile_for`.
        """
        self._engine = engine
        self._tile = tile
        self._size = (request.height, request.width)
        self._windows = [
            (rows, columns)
            for rows in spans(request.height, tile[0])
            for columns in spans(request.width, tile[1])
        ]
        super().__init__(request)

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        cleaned = tuple(np.empty(plane.shape, plane.dtype) for plane in planes)
        state = [np.empty_like(array) for array in self._state]
        for rows, columns in self._windows:
            seen = (rows.seen, columns.seen)
            self._engine.set_state(
                [
                    np.ascontiguousarray(a[:, *self._part(a[0], seen)])
                    for a in self._state
                ]
            )
            crops = [np.ascontiguousarray(p[self._part(p, seen)]) for p in planes]
            parts = self._engine.step(crops, sigma)
            kept = (rows.kept, columns.kept)
            inner = (rows.inner, columns.inner)
            for whole, part in zip(cleaned, parts, strict=True):
                scale = self._scale(whole)
                whole[scaled(kept, scale)] = part[scaled(inner, scale)]
            for whole, part in zip(state, self._engine.state(), strict=True):
                scale = self._scale(whole[0])
                whole[:, *scaled(kept, scale)] = part[:, *scaled(inner, scale)]
        self._state = state
        return cleaned

    def _part(
        self, array: np.ndarray, window: tuple[slice, slice]
    ) -> tuple[slice, slice]:
        return scaled(window, self._scale(array))

    def _scale(self, array: np.ndarray) -> int:
        """Factor by which ``(h, w, ...)`` is smaller than luma."""
        return self._size[0] // array.shape[0]

    def close(self) -> None:
        """Free the engine; may be called again."""
        super().close()
        self._engine.close()
