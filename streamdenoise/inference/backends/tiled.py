"""Runs large frames through a small engine, tile by tile."""

from collections.abc import Sequence

import numpy as np

from streamdenoise.inference.backend import Backend
from streamdenoise.inference.backends.host_state import HostState
from streamdenoise.inference.step_request import StepRequest

OVERLAP = 96
"""Pixels that a tile sees beyond the area it writes: the network sees no further, so
the result is that of the whole frame."""


class TiledBackend(HostState):
    """Holds the state of the whole frame, and lends each tile its part."""

    def __init__(self, request: StepRequest, engine: Backend, tile: "Tile") -> None:
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
            for rows in _spans(request.height, tile[0])
            for columns in _spans(request.width, tile[1])
        ]
        super().__init__(request)

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
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
            parts = self._engine.step(crops, sigma, strength)
            kept = (rows.kept, columns.kept)
            inner = (rows.inner, columns.inner)
            for whole, part in zip(cleaned, parts, strict=True):
                scale = self._scale(whole)
                whole[_scaled(kept, scale)] = part[_scaled(inner, scale)]
            for whole, part in zip(state, self._engine.state(), strict=True):
                scale = self._scale(whole[0])
                whole[:, *_scaled(kept, scale)] = part[:, *_scaled(inner, scale)]
        self._state = state
        return cleaned

    def _part(
        self, array: np.ndarray, window: tuple[slice, slice]
    ) -> tuple[slice, slice]:
        return _scaled(window, self._scale(array))

    def _scale(self, array: np.ndarray) -> int:
        """Factor by which ``(h, w, ...)`` is smaller than luma."""
        return self._size[0] // array.shape[0]

    def close(self) -> None:
        """Free the engine; may be called again."""
        super().close()
        self._engine.close()


Tile = tuple[int, int]
"""Height and width of a tile, in pixels."""


class _Span:
    """One tile along one side, in pixels."""

    def __init__(self, start: int, size: int, first: int, last: int) -> None:
        self.seen = slice(start, start + size)
        self.kept = slice(first, last)
        self.inner = slice(first - start, last - start)


def tile_for(height: int, width: int, tile: int) -> Tile:
    """Size of the tiles of a frame: no side longer than `tile`, nor than the frame's.

    Raises:
        ValueError: the tile is too small, or no multiple of 8.
    """
    if tile <= 2 * OVERLAP or tile % 8:
        raise ValueError(
            f"a tile must be a multiple of 8 pixels and more than {2 * OVERLAP}, "
            f"got {tile}"
        )
    return min(height, tile), min(width, tile)


def _spans(length: int, tile: int) -> list[_Span]:
    """Tiles of one size that cover a side; each writes to the middle of overlaps."""
    if tile == length:
        return [_Span(0, length, 0, length)]
    step = tile - 2 * OVERLAP
    starts = [*range(0, length - tile, step), length - tile]
    edges = [0, *(start + OVERLAP for start in starts[1:]), length]
    return [
        _Span(start, tile, first, last)
        for start, first, last in zip(starts, edges, edges[1:], strict=False)
    ]


def _scaled(window: tuple[slice, slice], scale: int) -> tuple[slice, slice]:
    rows, columns = (slice(s.start // scale, s.stop // scale) for s in window)
    return rows, columns
