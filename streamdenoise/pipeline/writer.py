"""The output side of a pipeline: one sink, written by its own thread."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import NamedTuple

from streamdenoise.frame import Frame
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.protocols import RecoveringSink, Sink
from streamdenoise.pipeline.queue import FrameQueue
from streamdenoise.pipeline.stats import LatencyMeter, OutputStats, RateMeter, Stats
from streamdenoise.progress import HANG_S, Stage
from streamdenoise.stage_times import Work, timed

log = logging.getLogger(__name__)


class FramePair(NamedTuple):
    """A frame before and after denoising, as every output gets it."""

    noisy: Frame
    clean: Frame
    reference: Frame | None = None
    """Its true clean version, if that is known."""
    is_held: bool = False
    """Whether it repeats an earlier frame because none arrived."""


Render = Callable[[FramePair, Stats], Frame]
"""Makes the frame to write."""


@dataclass(frozen=True, slots=True)
class Output:
    """A sink, and how its frames are rendered."""

    sink: Sink
    render: Render | None = None
    """None writes the denoised frame unchanged."""
    name: str = ""
    """For figures and logs, without credentials."""
    stage: Stage = field(default_factory=Stage)
    """What is in hand: by the writer's thread, and by threads of the sink that know it.
    """
    tap: PacketTap | None = None
    """Passes on the packets that the sink encodes, if it does."""
    is_view: bool = False
    """Whether it only shows the others' frames: what it leaves out is no loss, and it
    does not keep the run going when they have failed."""


class Writer:
    """An output, its queue, its thread and its figures.

    The thread also ends the sink, so that none waits for another's disk or network. It
    is a daemon: nothing can wake it while a disk or a library hangs.

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
        hang_s: Callable[[], float] = lambda: HANG_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts; nothing is written before `start`.

        Args:
            output: Its sink is open; the thread closes it, or aborts it after a
                failure.
            queue: Emptied by the thread.
            latest_stats: Returns the figures for `Output.render`.
            on_error: Called from the thread with what the sink or `render` raised.
            name: Name of the thread.
            hang_s: See `Stage.hang`.
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
        self._cause: BaseException | None = None
        self._drained = Event()
        self._hang_s = hang_s
        self._hangs_since: float | None = None
        self._dropped_before_hang = 0
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread; returns whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def end(self, cause: BaseException | None, *, discard: bool) -> None:
        """Let the thread write the queued frames, and then end the sink.

        Args:
            cause: Why the run has failed, which aborts the sink; None closes it.
            discard: Leave the queued frames out.
        """
        self._cause = cause
        self.queue.close(discard=discard)

    def drained(self, timeout_s: float) -> bool:
        """Wait until no frame is left to write; returns whether that is so."""
        return self._drained.wait(timeout_s)

    @property
    def hang(self) -> str:
        """What hangs, and for how long; empty while there is progress."""
        return self._output.stage.hang(self._hang_s())

    @property
    def name(self) -> str:
        return self._output.name or "the output"

    @property
    def is_view(self) -> bool:
        return self._output.is_view

    def check(self) -> None:
        """Log when the output hangs, and when it goes on; call this repeatedly."""
        hang = self.hang
        if hang and self._hangs_since is None:
            self._hangs_since = self._clock() - self._hang_s()
            self._dropped_before_hang = self.queue.dropped
            log.error("%s: %s", self.name, hang)
        elif not hang and self._hangs_since is not None:
            log.warning(
                "%s goes on after %.0f s; %d frames were not written",
                self.name,
                self._clock() - self._hangs_since,
                self.queue.dropped - self._dropped_before_hang,
            )
            self._hangs_since = None

    def interrupt(self) -> None:
        """Discard the queued frames, and end a wait for the network."""
        self.queue.close(discard=True)
        if self._recovering is not None:
            self._is_interrupted = True
            self._recovering.interrupt()

    def stats(self) -> OutputStats:
        """The figures now."""
        sink, hang = self._recovering, self.hang
        with self._lock:
            return OutputStats(
                name=self._output.name,
                frames=self._frames,
                dropped=self.queue.dropped + self._dropped_by_sink(),
                queued=len(self.queue),
                bytes=0 if self._output.tap is None else self._output.tap.bytes,
                reconnects=0 if sink is None else sink.reconnects,
                error=hang or self.error or ("" if sink is None else sink.error),
                hangs=bool(hang),
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

    def _run(self) -> None:
        try:
            self._write_all()
        except BaseException as exc:  # of any kind: `Pipeline.run` raises it
            self._fail(exc)
        finally:
            self.queue.close(discard=True)
            self._drained.set()

    def _write_all(self) -> None:
        sink, stage = self._output.sink, self._output.stage
        try:
            for pair in self.queue:
                with stage.doing("writing a frame"):
                    self._write(pair)
        except BaseException as exc:
            if not self._is_interrupted:
                raise
            log.info("interrupted: %s", exc)
        self._drained.set()
        if self._cause is None:
            with stage.doing("finishing"):
                sink.close()
        else:
            self._abort()

    def _write(self, pair: FramePair) -> None:
        frame = pair.clean
        if self._output.render is not None:
            with timed(Work.RENDER):
                frame = self._output.render(pair, self._latest_stats())
        dropped = self._dropped_by_sink()
        self._output.sink.write(frame)
        if self._dropped_by_sink() == dropped:
            self._count(pair.noisy, pair.is_held)

    def _fail(self, exc: BaseException) -> None:
        if self._is_interrupted:
            log.info("interrupted: %s", exc)
        else:
            self.error = str(exc)
            self._on_error(self, exc)
        self._abort()

    def _abort(self) -> None:
        with self._output.stage.doing("keeping what was written"):
            self._output.sink.abort()

    def _count(self, frame: Frame, is_held: bool) -> None:
        with self._lock:
            self._frames += 1
            if not is_held:
                self._latency.add(1000 * (self._clock() - frame.captured_at))
                self._rate.tick()

    def _dropped_by_sink(self) -> int:
        """Frames that the sink did not write while it was away."""
        return 0 if self._recovering is None else self._recovering.dropped
