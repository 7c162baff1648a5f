"""The output side of a pipeline: one sink, written by its own thread."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread
from typing import NamedTuple

from streamdenoise.frame import Frame
from streamdenoise.io.protocols import RecoveringSink, Sink
from streamdenoise.pipeline.queue import FrameQueue
from streamdenoise.pipeline.stats import LatencyMeter, OutputStats, RateMeter, Stats

log = logging.getLogger(__name__)

Render = Callable[[Frame, Frame, Stats], Frame]
"""Makes the frame to write from the noisy frame, the clean frame and the figures."""


@dataclass(frozen=True, slots=True)
class Output:
    """A sink, and how its frames are rendered."""

    sink: Sink
    render: Render | None = None
    """None writes the denoised frame unchanged."""
    name: str = ""
    """For figures and logs, without credentials."""


class FramePair(NamedTuple):
    """A frame before and after denoising, as every output gets it."""

    noisy: Frame
    clean: Frame
    is_held: bool = False
    """Whether it repeats an earlier frame because none arrived."""


class Writer:
    """An output, its queue, its thread and its figures.

    Attributes:
        queue: Closed by the caller, and by the thread when it ends.
        error: Why the output has ended; empty while it works.
    """

    def __init__(
        self,
        output: Output,
        queue: FrameQueue[FramePair],
        *,
        latest_stats: Callable[[], Stats],
        on_error: Callable[["Writer", BaseException], None],
        name: str = "write",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts; nothing is written before `start`.

        Args:
            output: Its sink is open; the caller closes it.
            queue: Emptied by the thread.
            latest_stats: Returns the figures for `Output.render`.
            on_error: Called from the thread with what the sink or `render` raised.
            name: Name of the thread.
            clock: Seconds, comparable with `Frame.captured_at`.
        """
        self.queue = queue
        self.error = ""
        self._output = output
        self._recovering = (
            output.sink if isinstance(output.sink, RecoveringSink) else None
        )
        self._latest_stats = latest_stats
        self._on_error = on_error
        self._clock = clock
        self._lock = Lock()
        self._frames = 0
        self._latency = LatencyMeter()
        self._rate = RateMeter(clock=clock)
        self._is_interrupted = False
        self._thread = Thread(target=self._write, name=name)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread; returns whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def interrupt(self) -> None:
        """Discard the queued frames, and end a wait for the network."""
        self.queue.close(discard=True)
        if self._recovering is not None:
            self._is_interrupted = True
            self._recovering.interrupt()

    def abort(self) -> None:
        """Abort the sink, once it has failed."""
        self._output.sink.abort()

    def stats(self) -> OutputStats:
        """The figures now."""
        sink = self._recovering
        with self._lock:
            return OutputStats(
                name=self._output.name,
                frames=self._frames,
                dropped=self.queue.dropped + self._dropped_by_sink(),
                queued=len(self.queue),
                reconnects=0 if sink is None else sink.reconnects,
                error=self.error or ("" if sink is None else sink.error),
                latency=self._latency.latency(),
            )

    @property
    def fps(self) -> float:
        """Frames written per second, repeated ones left out."""
        with self._lock:
            return self._rate.fps

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks of the sink."""
        return self._output.sink.notes

    def _write(self) -> None:
        sink, render = self._output.sink, self._output.render
        try:
            for noisy, clean, is_held in self.queue:
                frame = clean
                if render is not None:
                    frame = render(noisy, clean, self._latest_stats())
                dropped = self._dropped_by_sink()
                sink.write(frame)
                if self._dropped_by_sink() == dropped:
                    self._count(noisy, is_held)
        except BaseException as exc:  # of any kind: `Pipeline.run` raises it
            if self._is_interrupted:
                log.info("interrupted: %s", exc)
            else:
                self.error = str(exc)
                self._on_error(self, exc)
        finally:
            self.queue.close(discard=True)

    def _count(self, frame: Frame, is_held: bool) -> None:
        with self._lock:
            self._frames += 1
            if not is_held:
                self._latency.add(1000 * (self._clock() - frame.captured_at))
                self._rate.tick()

    def _dropped_by_sink(self) -> int:
        """Frames that the sink did not write while it was away."""
        return 0 if self._recovering is None else self._recovering.dropped
