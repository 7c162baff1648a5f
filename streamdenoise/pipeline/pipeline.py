"""Runs a source, a denoiser and outputs together, each at its own pace.

There are three kinds of threads: one reads, the caller's denoises, and one for each
output writes. They share queues and figures, nothing else.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from threading import Lock

from streamdenoise.frame import Frame, StreamInfo, bit_depth, plane_shapes
from streamdenoise.io.protocols import Source
from streamdenoise.pipeline.drop_log import DropLog
from streamdenoise.pipeline.figures import Figures
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.in_flight import InFlight
from streamdenoise.pipeline.live_rules import FILE_RULES, TICK_S, LiveFrames, LiveRules
from streamdenoise.pipeline.queue import FrameQueue, Overflow
from streamdenoise.pipeline.reader import FindReference, Reader
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair, Output, Writer

log = logging.getLogger(__name__)

_DRAIN_S = 0.7
"""Time for outputs of a live source to write their queued frames."""

_BURST_FRAMES, _BURST_BYTES = 64, 1 << 27
"""Limits of a queue when a network delivers a burst of frames after a stall."""

OnStats = Callable[[Stats], None]


class Pipeline:
    """Runs one stream from its source to its outputs, once.

    Sources and sinks are opened and closed by the caller, around `run`. When `run`
    returns or raises, all threads have ended, except for the one that reads a live
    source: if it is blocked in a read, it is left behind as a daemon thread.
    """

    def __init__(
        self,
        source: Source,
        denoiser: FrameDenoiser,
        outputs: Sequence[Output],
        *,
        overflow: Overflow | None = None,
        capacity: int = 4,
        reference: FindReference | None = None,
        live: LiveRules | None = None,
        each_alone: bool = False,
        stats_interval_s: float = 0.25,
        drop_log_interval_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts; nothing starts before `run`.

        Args:
            source: Read by its own thread.
            denoiser: Called by the thread that calls `run`.
            outputs: Each is written by its own thread; the first one counts as
                "out" in the figures.
            overflow: Policy of full queues; None blocks, or drops for a live source.
            capacity: Frames that each queue holds.
            reference: Finds clean frames, to measure the PSNR with; None shows the
                denoiser's estimate.
            live: For a source that may be lost and come back; None is for a source
                that is read to its end.
            each_alone: Whether frames are images that have nothing to do with each
                other: the denoiser is reset for each.
            stats_interval_s: Shortest time between two calls of `on_stats`.
            drop_log_interval_s: Shortest time between two log lines about drops; it
                grows while drops continue.
            clock: Returns seconds, comparable with `Frame.captured_at`.
        """
        if overflow is None:
            drops = source.info.is_live
            overflow = Overflow.DROP_OLDEST if drops else Overflow.BLOCK
        self._is_live = live is not None
        rules = live or FILE_RULES
        burst = _burst(source.info) if self._is_live else None
        self._overflow = overflow
        self._denoiser = denoiser
        self._each_alone = each_alone
        self._prepare = rules.prepare
        self._live_frames = LiveFrames(rules, source.info.time_base)
        self._reader = Reader(
            source,
            FrameQueue(capacity, overflow, burst=burst),
            reference,
            is_live=self._is_live,
            clock=clock,
        )
        self._in_flight = InFlight()
        self._writers = [
            Writer(
                output,
                FrameQueue(capacity, overflow, burst=burst),
                latest_stats=lambda: self._stats,
                on_error=self._leave_out,
                name=f"write-{number}",
                clock=clock,
            )
            for number, output in enumerate(outputs)
        ]
        self._figures = Figures(
            source, denoiser, self._reader, self._in_flight, self._writers, clock
        )
        self._drop_log = DropLog(drop_log_interval_s)
        self._clock = clock
        self._stats = Stats()
        self._stats_interval_s = stats_interval_s
        self._stats_at = float("-inf")
        self._has_run = False
        self._lock = Lock()
        self._error: BaseException | None = None
        """Error of the first output that failed."""

    def run(self, on_stats: OnStats | None = None) -> Stats:
        """Work until the source ends, a part fails, or `stop` is called.

        Frames that were decoded before the source failed are still written.

        Args:
            on_stats: Called from this thread, repeatedly while frames arrive, and
                once at the end.

        Returns:
            The figures of the whole run.

        Raises:
            Exception: Any error of the source, the denoiser or a sink, unchanged.
        """
        if self._has_run:
            raise RuntimeError("a pipeline runs once; make a new one")
        self._has_run = True
        self._figures.start()
        self._drop_log.start(self._clock())
        self._reader.start()
        for writer in self._writers:
            writer.start()
        is_interrupted = True
        try:
            self._denoise(on_stats)
            is_interrupted = False
        except Exception:
            is_interrupted = False
            raise
        finally:
            self._reader.stop()
            self._end_writers(discard=is_interrupted)
            self._reader.join()
        if self._error is not None:
            raise self._error
        self._reader.check_ended()
        self._drop_log.update(self._figures.slow_drops(), self._clock(), final=True)
        self._stats = self._figures.snapshot()
        if on_stats is not None:
            on_stats(self._stats)
        return self._stats

    def stop(self) -> None:
        """End the run soon, as if the source had ended: outputs stay complete.

        May be called from any thread or signal handler, any number of times, also
        before `run`.
        """
        self._reader.stop()
        if self._is_live and self._overflow is Overflow.BLOCK:
            # Otherwise the denoiser's thread could wait for an output that hangs.
            for writer in self._writers:
                writer.queue.close()

    def _denoise(self, on_stats: OnStats | None) -> None:
        if self._prepare is not None:
            self._prepare()
            # No part was too slow: there was no engine yet.
            self._drop_log.ignore(self._figures.slow_drops())
        try:
            while (item := self._next(on_stats)) is not None:
                noisy, reference = item
                noisy = self._live_frames.stamp(noisy)
                self._in_flight.add(noisy, reference)
                if self._each_alone:
                    self._emit(self._denoiser.flush())
                    self._denoiser.reset()
                self._emit(self._denoiser.process(noisy))
                self._update(on_stats)
        except Exception as exc:
            if exc is self._reader.queue.error:
                self._emit(self._denoiser.flush())
            raise
        self._emit(self._denoiser.flush())

    def _next(self, on_stats: OnStats | None) -> tuple[Frame, Frame | None] | None:
        """The next frame and its reference; None at the end."""
        queue = self._reader.queue
        while (item := queue.take(TICK_S if self._is_live else None)) is None:
            if queue.ended:
                return None
            now = self._clock()
            held = self._live_frames.held(now, now - self._reader.frame_at)
            if held is not None:
                self._put(FramePair(held, held, is_held=True))
            self._update(on_stats)
        return item

    def _emit(self, cleaned: Sequence[Frame]) -> None:
        """Pass frames to the outputs, each with the noisy frame it was made from."""
        for clean in cleaned:
            noisy, reference = self._in_flight.take(clean)
            if reference is not None:
                self._figures.measure(reference, noisy, clean)
            self._live_frames.remember(clean)
            self._put(FramePair(noisy, clean))

    def _put(self, pair: FramePair) -> None:
        for writer in self._writers:
            writer.queue.put(pair)

    def _update(self, on_stats: OnStats | None) -> None:
        now = self._clock()
        if now - self._stats_at < self._stats_interval_s:
            return
        self._stats_at = now
        self._stats = self._figures.snapshot()
        self._drop_log.update(self._figures.slow_drops(), now)
        if on_stats is not None:
            on_stats(self._stats)

    def _end_writers(self, discard: bool) -> None:
        """Wait for the outputs.

        Live ones skip what they cannot write soon, and those blocked on a network are
        interrupted.
        """
        for writer in self._writers:
            writer.queue.close(discard=discard)
        if self._is_live:
            deadline = time.monotonic() + _DRAIN_S
            for writer in self._writers:
                if not writer.join(max(0.0, deadline - time.monotonic())):
                    writer.interrupt()
        for writer in self._writers:
            writer.join()

    def _leave_out(self, failed: Writer, exc: BaseException) -> None:
        """Continue without an output, or end the run if it is the last or not live."""
        with self._lock:
            if self._error is None:
                self._error = exc
        if self._is_live and any(not writer.error for writer in self._writers):
            log.error("%s; the other outputs continue", exc)
            failed.abort()
        else:
            self.stop()


def _burst(info: StreamInfo) -> int:
    """Most frames of a burst that a queue holds."""
    samples = sum(
        math.prod(s) for s in plane_shapes(info.pix_fmt, info.width, info.height)
    )
    size_bytes = samples * (1 if bit_depth(info.pix_fmt) == 8 else 2)
    return min(_BURST_FRAMES, _BURST_BYTES // max(1, size_bytes))
