"""Convolutions in OpenVINO, and the float part around them in strips that stay in L2.

See `streamdenoise.kernels.float_part` for the loops, and
`streamdenoise.inference.backends.openvino_parts` for the graphs.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamdenoise.imaging.blocks import gather_blocks, scatter_blocks
from streamdenoise.imaging.coefficients import (
    MIN_GIVEN_STD,
    MIN_NOISE_STD,
    band_of_channels,
    coefficient_basis,
    mean_channels,
    noise_shares,
    shown_channels,
)
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.inference.backends.openvino_parts import Parts
from streamdenoise.inference.backends.openvino_stream import (
    OpenVinoStream,
    infer,
    layer_times_of,
)
from streamdenoise.inference.backends.openvino_windows import StillTiles, Windows
from streamdenoise.inference.backends.row_threads import RowThreads
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.kernels.compiled import Kernel
from streamdenoise.kernels.float_part import FLOAT_PARTS
from streamdenoise.kernels.stillness import look_at_tiles
from streamdenoise.threads import usable_cores

STRIPS = "Strips"
"""Kind of the loops among the layers of `StripsBackend.layer_times`."""

_LAYOUT = "yuv420"
_STATE = ["fused", "frames", "hidden", "hidden_low"]
_BANDS = 4
_CHANNELS = 24


class StripsBackend(OpenVinoStream):
    """The parts of the graph, with loops before, between and after them."""

    @staticmethod
    def takes(request: StepRequest) -> bool:
        """Whether the loops are made for the model of a request."""
        artifact = request.artifact
        return (
            request.precision == "int8"
            and artifact.layout == _LAYOUT
            and artifact.state_names == _STATE
        )

    @staticmethod
    def why_not(request: StepRequest) -> str:
        """Load the loops for a request; why they cannot be used, or nothing."""
        part = FLOAT_PARTS[request.dtype.__name__]
        return part.why_not() or look_at_tiles.why_not()

    def __init__(
        self, request: StepRequest, parts: Parts, threads: RowThreads | None = None
    ) -> None:
        """Allocate all maps that the parts exchange.

        Args:
            request: `takes` it, and the kernels for its samples were loaded.
            parts: compiled for it.
            threads: shared by the streams of a batch.
        """
        threads = threads or RowThreads(request.threads or usable_cores())
        alone = replace(request, streams=1)
        others = [
            StripsBackend(alone, parts, threads) for _ in range(request.streams - 1)
        ]
        self._threads = threads
        self._parts = parts
        self._kernels = FLOAT_PARTS[request.dtype.__name__]
        self._peak = request.peak
        self._levels = _NoiseLevels(
            request.artifact.levels, parts.noise_map is not None
        )
        self._inverse = coefficient_basis(_LAYOUT)
        self._basis = self._inverse.T.copy()
        height, width = request.pixels_shape[1:3]

        def maps(channels: int, scale: int = 1) -> np.ndarray:
            shape = (1, height // scale, width // scale, channels)
            return np.zeros(shape, np.float32)

        self._scratch = np.zeros((threads.threads, 2, width * _CHANNELS), np.float32)
        self._residual, self._heights = maps(_CHANNELS), maps(_CHANNELS)
        self._gain, self._root = maps(_BANDS), maps(_BANDS)
        self._factors = np.ones_like(maps(4 * _BANDS, scale=2))
        self._means = maps(len(mean_channels(_LAYOUT)))
        self._head = np.zeros(tuple(parts.main.input(0).shape), np.uint8)
        # What the gate sees was read before anything is written for the head.
        shape = tuple(parts.gate.input(0).shape)
        self._gate = self._head.reshape(-1)[: math.prod(shape)].reshape(shape)
        self._times: list[tuple[str, str, str, float]] = []
        self._was_whole = True
        self._requests: list[Any] = [
            graph.create_infer_request() if graph is not None else None
            for graph in (parts.noise_map, parts.gate, parts.main)
        ]
        if parts.noise_map is not None:
            self._features = np.zeros(tuple(parts.noise_map.input(0).shape), np.float32)
        self._still = StillTiles(request, parts.head_levels)
        self._windows = Windows(parts.window)
        super().__init__(request, others)
        self._cleaned = self._pixels

    def _advance(self, sigma: np.ndarray, new: list[np.ndarray]) -> None:
        fused, frames, hidden, hidden_low = self._state
        if hidden is not self._buffers[0][2] or hidden_low is not self._buffers[0][3]:
            self._still.forget()  # they are of another backend, or were moved
        next_fused, next_frames, *next_features = new
        # Until the end it holds the coefficients of what is in work.
        coefficients = _rows(next_fused)
        kernels, parts, levels = self._kernels, self._parts, self._levels.at(sigma)
        noise_map, gate, main = self._requests
        self._times = []
        pixels = (_rows(self._pixels), 1 / self._peak, _rows(fused))
        if noise_map is not None:
            self._run(
                kernels.noise_map_inputs,
                *(*pixels, _rows(frames), self._basis, levels.of_details),
                *(levels.of_change, levels.looked_at, _rows(self._features)),
                rows=self._features.shape[1],
            )
            infer(noise_map, [self._features, hidden_low], [self._factors])
        factors = _rows(self._factors)
        noise = (levels.noise, MIN_NOISE_STD)
        self._run(
            kernels.gate_inputs,
            *(*pixels, _rows(frames), factors, self._basis, *noise),
            *(1 / parts.gate_levels.step, coefficients, _rows(self._gate)),
        )
        infer(gate, [self._gate, frames], [self._gain, self._root, next_frames])
        self._run(
            kernels.fuse,
            *(_rows(fused), _rows(frames), factors, _rows(self._gain), _rows(hidden)),
            *(self._basis, *noise, levels.bands, levels.is_detail, levels.shown),
            *(1 / parts.head_levels.step, parts.head_levels.zero, coefficients),
            *(_rows(self._head), _rows(self._means)),
        )
        looked_at = (self._gain, frames, self._head)
        windows = self._still.windows(self._run, *map(_rows, looked_at))
        inputs = [self._head, self._means, hidden_low]
        self._was_whole = windows is None
        if windows is None:
            outputs = [self._residual, self._heights, *next_features]
            infer(main, inputs, outputs)
        else:
            # Features of what is not computed stay where they are.
            old = self._buffers[0]
            old[2:], new[2:] = new[2:], old[2:]
            outputs = [self._residual, self._heights, hidden, hidden_low]
            self._windows.infer(windows, inputs, outputs)
        self._run(
            kernels.clean,
            *(coefficients, factors, _rows(self._gain), _rows(self._root)),
            *(_rows(self._heights), _rows(self._residual), self._still.kept),
            self._inverse,
            *(levels.bands, levels.residual, levels.bounds, self._peak),
            *(coefficients, _rows(self._cleaned)),
        )

    def reset(self) -> None:
        self._still.forget()
        super().reset()

    def warp(self, flow: np.ndarray) -> None:
        self._still.move(flow)
        super().warp(flow)

    def _read(self, planes: Sequence[np.ndarray]) -> None:
        self._move(gather_blocks, planes, self._pixels[0])

    def _write(self, planes: Sequence[np.ndarray]) -> None:
        self._move(
            lambda parts, blocks: scatter_blocks(blocks, parts),
            *(planes, self._cleaned[0]),
        )

    def _move(
        self,
        move: Callable[[list[np.ndarray], np.ndarray], None],
        planes: Sequence[np.ndarray],
        blocks: np.ndarray,
    ) -> None:
        """Gather or scatter blocks, each thread a part of the rows."""
        sides = [plane.shape[0] // len(blocks) for plane in planes]

        def part(thread: int, first: int, end: int) -> None:
            rows = [
                plane[side * first : side * end]
                for plane, side in zip(planes, sides, strict=True)
            ]
            move(rows, blocks[first:end])

        self._threads.run(part, len(blocks))

    def _run(self, kernel: Kernel, *arguments: Any, rows: int | None = None) -> None:
        begin = time.perf_counter()

        def part(thread: int, first: int, end: int) -> None:
            kernel(*arguments, self._scratch[thread], first, end)

        self._threads.run(part, rows or self._pixels.shape[1])
        ms = (time.perf_counter() - begin) * 1e3
        self._times.append((kernel.name, STRIPS, "compiled_f32", ms))

    def layer_times(self) -> list[tuple[str, str, str, float]]:
        # In windows the last graph did not run, and theirs is not counted.
        ran = self._requests if self._was_whole else self._requests[:-1]
        graphs = (each for each in ran if each is not None)
        return [*self._times, *(t for graph in graphs for t in layer_times_of(graph))]

    def close(self) -> None:
        super().close()
        self._threads.close()
        self._requests = []
        self._windows.close()


def _rows(maps: np.ndarray) -> np.ndarray:
    """``(1, h, w, channels)`` as ``(h, w * channels)``."""
    return maps.reshape(maps.shape[1], -1)


@dataclass(frozen=True, slots=True)
class _Levels:
    """Arguments of the kernels that follow from the noise level."""

    of_details: np.ndarray
    of_change: np.ndarray
    looked_at: np.ndarray
    noise: np.ndarray
    shown: np.ndarray
    residual: np.ndarray
    bounds: np.ndarray
    bands: np.ndarray
    is_detail: np.ndarray


class _NoiseLevels:
    """From a noise level to arguments, as `streamdenoise.network.model` does it."""

    def __init__(self, levels: int, has_map: bool) -> None:
        self._has_map = has_map
        self._shares = noise_shares(_LAYOUT, levels)
        self._shown = shown_channels(_LAYOUT, profile=levels == len(LEVELS))
        channels = np.arange(_CHANNELS)
        bands = np.array(band_of_channels(_LAYOUT)) == np.arange(_BANDS)[:, None]
        self._bands = bands.astype(np.float32)
        means = np.isin(channels, mean_channels(_LAYOUT))
        self._is_detail = (~means).astype(np.float32)

    def at(self, sigma: np.ndarray) -> _Levels:
        """The arguments at noise levels ``(levels,)`` in [0, 1]."""
        std = np.sqrt(self._shares @ np.square(sigma))
        if self._has_map:
            std = np.maximum(std, MIN_GIVEN_STD)
        per_band = self._bands / self._bands.sum(1, keepdims=True)
        energy = per_band / np.square(np.maximum(std, MIN_NOISE_STD))
        noise = self._bands * std
        shown = noise[:, self._shown] * 5
        each = (
            *(energy * self._is_detail, energy, shown.sum(0), noise, shown),
            *(2 * noise, 4 * noise * self._is_detail, self._bands, self._is_detail),
        )
        return _Levels(*(np.ascontiguousarray(x, np.float32) for x in each))
