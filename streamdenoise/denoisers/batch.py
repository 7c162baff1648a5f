"""Several streams of one size through one engine, each in a thread of its own.

GPUs are filled better by a batch. Frames that arrive together are denoised in one call;
one that is late is not waited for any longer than `WAIT_S`, and the state of a stream
that gives no frame stays as it is.
"""

import time
from collections.abc import Sequence
from threading import Condition
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import BackendError, ConfigError
from streamdenoise.frame import bit_depth
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import Backend, LaneInput
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.inference.registry import explained

if TYPE_CHECKING:
    from streamdenoise.inference.backends.torch_device import TorchDeviceBackend

WAIT_S = 0.004
"""How long the first frame of a batch waits for those of other streams."""


class StreamBatch(Closing):
    """Denoisers that share an engine.

    Each may be used by another thread. A context manager: the engine is freed at its
    end, after all threads are done.
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
        wait_s: float = WAIT_S,
        **options: Any,
    ) -> None:
        """Load the engine.

        Args:
            streams: how many.
            width: of the pictures of all streams, in pixels.
            height: of the pictures.
            pix_fmt: of the pictures.
            model: see `Denoiser.load`.
            backend: one that takes batches, or ``auto``.
            wait_s: see `WAIT_S`.
            options: further ones of `Denoiser.load`: ``sigma``, ``strength``.

        Raises:
            ConfigError: an option cannot be used.
            BackendUnavailableError: no backend takes batches here.
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
        # Those that are being denoised: the others are not waited for.
        self._open: set[int] = set()
        self.calls = 0
        """How many steps the engine has done."""
        self.denoisers = [
            Denoiser(artifact, loader=_LaneLoader(self, i), **options)
            for i in range(streams)
        ]
        loader = EngineLoader(artifact, backend=backend, streams=streams)
        self._engine = cast("TorchDeviceBackend", loader.load(*self._key))

    def close(self) -> None:
        """Free the engine; may be called again."""
        self._engine.close()

    def lane(self, index: int, height: int, width: int, depth: int) -> "_SharedLane":
        """The engine as stream `index` sees it.

        Raises:
            ConfigError: its pictures are of another size than those of the batch.
        """
        if (height, width, depth) != self._key:
            batch = f"{self._key[1]}x{self._key[0]}, {self._key[2]} bit"
            raise ConfigError(
                f"stream {index} has pictures of {width}x{height}, {depth} bit, the "
                f"batch is for {batch}; give it a denoiser of its own"
            )
        return _SharedLane(self, index)

    def step(self, index: int, given: LaneInput) -> tuple[np.ndarray, ...]:
        """Hand in a frame, and wait for the batch that has it."""
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
                # Also where this thread was interrupted: or the next frame would get
                # the result of this one.
                self._given.pop(index, None)
                self._results.pop(index, None)
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self) -> None:
        """Denoise what there is; the other streams wait for the lock meanwhile."""
        given, self._given = self._given, {}
        try:
            with explained(self._engine.name):
                self._results |= self._engine.step_lanes(given)
            self.calls += 1
        except Exception as exc:
            # Every stream of the batch has to know.
            self._results |= dict.fromkeys(given, exc)
        except BaseException:
            stopped = BackendError("the batch was interrupted by one of its streams")
            self._results |= dict.fromkeys(given, stopped)
            raise
        finally:
            self._changed.notify_all()

    def leave(self, index: int) -> None:
        """Wait for this stream no longer."""
        with self._changed:
            self._open.discard(index)
            self._changed.notify_all()

    def join(self, index: int) -> None:
        """Wait for this stream from now on."""
        with self._changed:
            self._open.add(index)


class _SharedLane:
    """A `Backend` for one stream, which never touches the engine during a step."""

    def __init__(self, batch: StreamBatch, index: int) -> None:
        self._batch = batch
        self._index = index
        self._lane = batch._engine.lane(index)
        self.name = self._lane.name
        self.reset()
        batch.join(index)

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
    ) -> tuple[np.ndarray, ...]:
        return self._batch.step(self._index, LaneInput(planes, sigma, strength))

    def warp(self, flow: np.ndarray) -> None:
        with self._batch._changed:
            self._lane.warp(flow)

    def reset(self) -> None:
        with self._batch._changed:
            self._lane.reset()

    def state(self) -> tuple[np.ndarray, ...]:
        with self._batch._changed:
            return tuple(array.copy() for array in self._lane.state())

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        with self._batch._changed:
            self._lane.set_state(state)

    def close(self) -> None:
        self._batch.leave(self._index)


class _LaneLoader:
    """Gives a denoiser its part of the batch, in place of an engine of its own."""

    notes: tuple[str, ...] = ()

    def __init__(self, batch: StreamBatch, index: int) -> None:
        self._batch = batch
        self._index = index

    def load(self, height: int, width: int, depth: int) -> Backend:
        return self._batch.lane(self._index, height, width, depth)

    def better(self) -> None:
        """There is no other one."""

    def close(self) -> None:
        """There is nothing of its own."""
