"""Several streams of one size through one engine, each from its own thread.

GPUs are used better by a batch, and streams on a CPU share the compiled model and its
threads. Frames that arrive together are denoised in one call.
A batch waits at most `WAIT_S` for late frames; the state of a stream without a frame
does not change.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from threading import Condition
from typing import cast

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.strength import Strength
from streamdenoise.errors import BackendError, ConfigError
from streamdenoise.frame import bit_depth
from streamdenoise.imaging.flow_search import FlowSearch
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import Backend, BatchBackend, LaneInput
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.inference.registry import explained

WAIT_S = 0.004
"""Longest time that the first frame of a batch waits for other streams, in seconds."""


class StreamBatch(Closing):
    """Denoisers that share an engine, one for each stream.

    Each may be used by another thread. The batch is a context manager, which frees the
    engine: leave it after all threads have ended.

    Attributes:
        denoisers: one for each stream.
        calls: number of steps that the engine has run.
    """

    def __init__(
        self,
        streams: int,
        width: int,
        height: int,
        *,
        pix_fmt: str = "yuv420p",
        model: str = "nano",
        backend: str = "auto",
        sigma: float | str = "auto",
        noise_profile: str | Path | None = None,
        profile_region: tuple[int, int, int, int] | None = None,
        strength: float = 1.0,
        strength_luma: float = 1.0,
        strength_chroma: float = 1.0,
        threads: int | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        """Load the engine.

        Args:
            streams: number of streams, 1 or more.
            width: frame width of all streams, in pixels.
            height: frame height, in pixels.
            pix_fmt: pixel format of the frames, one of `PIX_FMTS`.
            model: see `Denoiser.load`.
            backend: one that takes batches, or ``auto``.
            sigma: of all streams, as the next five; see `Denoiser.load`.
            noise_profile: see `Denoiser.load`.
            profile_region: see `Denoiser.load`.
            strength: see `Denoiser.load`.
            strength_luma: see `Denoiser.load`.
            strength_chroma: see `Denoiser.load`.
            threads: CPU threads of the backend for all streams, see `Denoiser.load`.
            wait_s: see `WAIT_S`.

        Raises:
            ConfigError: an option cannot be used.
            BackendUnavailableError: no backend that takes batches works here.
            BackendError: see `load_backend`.
        """
        if streams < 1:
            raise ConfigError(f"{streams} streams cannot be denoised; give 1 or more")
        artifact = open_artifact(model)
        multiple, depth = artifact.multiple, bit_depth(pix_fmt)
        height, width = (-(-side // multiple) * multiple for side in (height, width))
        self._key = (height, width, depth)
        self._wait_s = wait_s
        self._changed = Condition()
        self._given: dict[int, LaneInput] = {}
        self._begun_s = 0.0
        self._results: dict[int, tuple[np.ndarray, ...] | BaseException] = {}
        # Streams currently in use; a batch waits only for these.
        self._open: set[int] = set()
        self.calls = 0
        self.denoisers = [
            Denoiser(
                artifact,
                _LaneLoader(self, i),
                noise=NoiseLevel(sigma, profile=noise_profile, region=profile_region),
                strength=Strength(strength, luma=strength_luma, chroma=strength_chroma),
            )
            for i in range(streams)
        ]
        loader = EngineLoader(
            artifact, backend=backend, threads=threads, streams=streams
        )
        self._engine = cast("BatchBackend", loader.load(*self._key))

    def close(self) -> None:
        """Free the engine; may be called again."""
        self._engine.close()

    def lane(self, index: int, height: int, width: int, depth: int) -> "_SharedLane":
        """The engine for stream `index`.

        Raises:
            ConfigError: its frames have another size or depth than the batch.
        """
        if (height, width, depth) != self._key:
            batch = f"{self._key[1]}x{self._key[0]}, {self._key[2]} bit"
            raise ConfigError(
                f"stream {index} has frames of {width}x{height}, {depth} bit, but the "
                f"batch is for {batch}; use a separate denoiser for it"
            )
        return _SharedLane(self, index, self._engine.lane(index), self._changed)

    def step(self, index: int, given: LaneInput) -> tuple[np.ndarray, ...]:
        """Add a frame, and wait for the batch that contains it."""
        with self._changed:
            if not self._given:
                self._begun_s = time.monotonic()
            self._given[index] = given
            try:
                while index not in self._results:
                    left = self._begun_s + self._wait_s - time.monotonic()
                    if self._open <= self._given.keys() or left <= 0:
                        self._run()
                    else:
                        self._changed.wait(left)
                result = self._results[index]
            finally:
                # Even if this thread was interrupted: otherwise the next frame would
                # get the result of this one.
                self._given.pop(index, None)
                self._results.pop(index, None)
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self) -> None:
        """Denoise the frames that have arrived; other streams wait for the lock."""
        given, self._given = self._given, {}
        try:
            with explained(self._engine.name):
                self._results |= self._engine.step_lanes(given)
            self.calls += 1
        except Exception as exc:
            # Every stream of the batch gets the error.
            self._results |= dict.fromkeys(given, exc)
        except BaseException:
            stopped = BackendError("the batch was interrupted by one of its streams")
            self._results |= dict.fromkeys(given, stopped)
            raise
        finally:
            self._changed.notify_all()

    def leave(self, index: int) -> None:
        """No longer wait for this stream."""
        with self._changed:
            self._open.discard(index)
            self._changed.notify_all()

    def join(self, index: int) -> None:
        """Wait for this stream from now on."""
        with self._changed:
            self._open.add(index)


class _SharedLane:
    """A `Backend` for one stream that never touches the engine during a step."""

    def __init__(
        self, batch: StreamBatch, index: int, lane: Backend, lock: Condition
    ) -> None:
        self._batch = batch
        self._index = index
        self._lane = lane
        self._lock = lock
        self.name = lane.name
        self.reset()
        batch.join(index)

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        return self._batch.step(self._index, LaneInput(planes, sigma))

    def shift(self, changes: Sequence[float]) -> None:
        with self._lock:
            self._lane.shift(changes)

    def flow_search(self) -> FlowSearch | None:
        with self._lock:
            return self._lane.flow_search()

    def warp(self, flow: np.ndarray) -> None:
        with self._lock:
            self._lane.warp(flow)

    def reset(self) -> None:
        with self._lock:
            self._lane.reset()

    def state(self) -> tuple[np.ndarray, ...]:
        with self._lock:
            return tuple(array.copy() for array in self._lane.state())

    def is_finite(self, rows: slice) -> bool:
        with self._lock:
            return self._lane.is_finite(rows)

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        with self._lock:
            self._lane.set_state(state)

    def close(self) -> None:
        self._batch.leave(self._index)


class _LaneLoader:
    """Supplies a denoiser with its part of the batch, instead of an engine."""

    notes: tuple[str, ...] = ()

    def __init__(self, batch: StreamBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    def load(self, height: int, width: int, depth: int) -> Backend:
        return self._batch.lane(self._index, height, width, depth)

    def better(self) -> None:
        """Do nothing: the batch keeps its engine."""

    def close(self) -> None:
        """Do nothing: the batch owns the engine."""
