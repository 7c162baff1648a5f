"""The network in windows: where something happened, and elsewhere in turn.

In the footage of a fixed camera most of a frame stands still. There the running mean
takes all of the new frame in as before, but what the network said of the noise that is
left changes slowly: it is kept, and fades as the noise that it was about leaves the
mean. So the network, two thirds of a step, runs in windows that hold what woke, and in
some more that are due, so that no frame pays for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamdenoise.imaging.motion import CELL
from streamdenoise.inference.backends.openvino_runtime import ov
from streamdenoise.inference.backends.openvino_stream import infer
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.inference.tiles import Span, scaled
from streamdenoise.kernels.stillness import TILE, look_at_tiles

_TILE_PX = 4 * TILE
_CORE = (3, 4)
"""Rows and columns of tiles that a window writes."""
_HALO_PX = 16
"""What a window sees around them; the network depends little on what is further off."""
_LEAST_FRAME = 4
"""Windows pay in frames that are at least as many times as large."""
_MOST_WINDOWS = 0.7
"""Share of the frame from which on all of it takes no longer."""
_DRIFT = 0.3
"""Change that wakes a tile if all of it has it, in units of the noise of one block: of
light that changes slowly, which wakes no single block. Of noise it is 0.08."""
_REFRESHED = 0.2
"""Share of the frame that is refreshed at most beside what woke."""
_CHANGE_PER_UNIT = 4
"""The head sees a quarter of the change."""
_WOKEN, _MOVED = 0.04, 0.15
"""Shares of blocks and of cells that wake a tile. In noise a few seem to move."""
_DUE = 0.6
"""Share of the residual that is left below which a tile is due."""

Window = tuple[Span, Span]
"""Rows and columns, in pixels."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Meaning of bytes: a value is ``(byte - zero) * step``."""

    step: float
    zero: int


def window_request(request: StepRequest) -> StepRequest | None:
    """The request for one window of a frame; None where windows do not pay."""
    height, width = (n * _TILE_PX + 2 * _HALO_PX for n in _CORE)
    if (
        height > request.height
        or width > request.width
        or _LEAST_FRAME * height * width > request.height * request.width
    ):
        return None
    return replace(request, height=height, width=width, streams=1)


class StillTiles:
    """Decides in which windows of a frame the network runs."""

    def __init__(self, request: StepRequest, head: Levels) -> None:
        """Start without a past.

        Args:
            request: for whole frames.
            head: of the head's inputs.
        """
        self._levels = head
        self._size = (request.height, request.width)
        window = window_request(request)
        self._window = window and (window.height, window.width)
        self.kept = np.ones((request.height // 4, request.width // 4), np.float32)
        """Share of each block's last residual that is left; see `look_at_tiles`."""
        tiles = [-(-side // _TILE_PX) for side in self._size]
        self._moved, self._woken, self._fresh = (
            np.zeros(tiles, np.float32) for _ in range(3)
        )
        self._change = np.zeros((tiles[0], 3 * tiles[1]), np.float32)
        self._is_known = False

    def forget(self) -> None:
        """Run the next frame as a whole: nothing was kept for it."""
        self._is_known = False

    def move(self, flow: np.ndarray) -> None:
        """Wake what moves; its state was warped, and what is kept was not.

        Args:
            flow: see `FlowEstimator.flow`.
        """
        side = _TILE_PX // CELL
        rows, columns = self._moved.shape
        cells = np.zeros((rows * side, columns * side), bool)
        cells[: flow.shape[0], : flow.shape[1]] = flow.any(-1)
        parts = cells.reshape(rows, side, columns, side)
        self._moved += parts.mean((1, 3))

    def windows(
        self,
        run: Callable[..., None],
        gain: np.ndarray,
        frames: np.ndarray,
        head: np.ndarray,
    ) -> list[Window] | None:
        """Choose windows for a frame, and update `kept`.

        Args:
            run: calls a kernel with arguments for each part of its ``rows``.
            gain: ``(h, w * 4)``, see `look_at_tiles`.
            frames: ``(h, w * 4)``, see there.
            head: ``(h, w * n)``, see there.

        Returns:
            None for the whole frame.
        """

        def look() -> None:
            written = (self.kept, self._woken, self._change, self._fresh)
            run(look_at_tiles, gain, frames, head, *written, rows=len(self._woken))

        found = self._found(look) if self._is_known else None
        self._moved.fill(0)
        self._is_known = True
        if found is None:
            self.kept.fill(1)
        else:
            for rows, columns in found:
                y, x = rows.kept, columns.kept
                self.kept[y.start // 4 : y.stop // 4, x.start // 4 : x.stop // 4] = 1
        return found

    def _found(self, look: Callable[[], None]) -> list[Window] | None:
        if self._window is None:
            return None
        if self._moved.mean() > _MOST_WINDOWS / 2:
            return None
        share = self._window[0] * self._window[1] / (self._size[0] * self._size[1])
        most = int(_MOST_WINDOWS / share)
        look()
        change = self._change.reshape(*self._woken.shape, 3) - self._levels.zero
        drift = np.abs(change).max(-1) * (_CHANGE_PER_UNIT * self._levels.step)
        urgent = (self._moved > _MOVED) | (self._woken > _WOKEN) | (drift > _DRIFT)
        # Windows that follow the shapes of the world are half full at best.
        if urgent.mean() > _MOST_WINDOWS / 2:
            return None
        corners = []
        # Of the windows that hold as much of what is urgent, the least fresh one.
        gained = 100.0 * urgent + (1 - self._fresh)
        due = self._fresh < _DUE
        while urgent.any():
            if len(corners) == most:
                return None
            corners.append(_take_best(gained, urgent, due))
        for _ in range(max(1, round(_REFRESHED / share))):
            if len(corners) == most or not due.any():
                break
            corners.append(_take_best(gained, due))
        return [self._window_at(*corner) for corner in corners]

    def _window_at(self, *corner: int) -> Window:
        """The window whose first tile is at a row and a column of tiles."""
        assert self._window is not None
        rows, columns = (
            Span(
                min(max(first * _TILE_PX - _HALO_PX, 0), side - seen),
                seen,
                first * _TILE_PX,
                min((first + tiles) * _TILE_PX, side),
            )
            for first, tiles, side, seen in zip(
                corner, _CORE, self._size, self._window, strict=True
            )
        )
        return rows, columns


def _take_best(gained: np.ndarray, *wanted: np.ndarray) -> tuple[int, int]:
    """The place where the core of a window gains most; it is done with afterward."""
    sums = np.pad(gained, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = sums[_CORE[0] :] - sums[: -_CORE[0]]
    sums = sums[:, _CORE[1] :] - sums[:, : -_CORE[1]]
    y, x = (int(i) for i in np.unravel_index(sums.argmax(), sums.shape))
    for array in (gained, *wanted):
        array[y : y + _CORE[0], x : x + _CORE[1]] = 0
    return y, x


class Windows:
    """Runs the network in windows of maps."""

    def __init__(self, compiled: Callable[[], ov.CompiledModel]) -> None:
        """Nothing is compiled before the first window.

        Args:
            compiled: the network for one window; maps are ``(1, h, w, channels)``.
        """
        self._compiled = compiled
        self._request: Any = None
        self._outputs: list[np.ndarray] = []

    def close(self) -> None:
        """Free the network; may be called again."""
        self._request = None

    def infer(
        self,
        windows: Sequence[Window],
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
    ) -> None:
        """Write the outputs of windows into those of the whole frame.

        An array may be among both: windows that overlap read what was there before.

        Args:
            windows: see `StillTiles.windows`.
            inputs: of the network, for the whole frame; the first one is of blocks.
            outputs: of the network, for the whole frame.
        """
        if self._request is None:
            graph = self._compiled()
            self._request = graph.create_infer_request()
            shapes = [tuple(each.shape) for each in graph.outputs]
            self._outputs = [np.empty(shape, np.float32) for shape in shapes]
        width = 4 * inputs[0].shape[2]
        scales = [width // maps.shape[2] for maps in (*inputs, *outputs)]
        seen = [
            [
                np.ascontiguousarray(maps[:, *scaled((y.seen, x.seen), scale)])
                for maps, scale in zip(inputs, scales, strict=False)
            ]
            for y, x in windows
        ]
        for (y, x), crops in zip(windows, seen, strict=True):
            infer(self._request, crops, self._outputs)
            written = zip(outputs, self._outputs, scales[len(inputs) :], strict=True)
            for whole, made, scale in written:
                inner = made[:, *scaled((y.inner, x.inner), scale)]
                whole[:, *scaled((y.kept, x.kept), scale)] = inner
