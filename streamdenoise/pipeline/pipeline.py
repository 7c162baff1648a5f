"""Runs a source, a denoiser and outputs together, each at its own pace.

There are four kinds of threads: one reads, one denoises, one for each output writes,
and the caller's watches them. They share queues and figures, nothing else.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from threading import Lock

from streamdenoise.errors import HungError
from streamdenoise.frame import StreamInfo, bit_depth, plane_shapes
from streamdenoise.io.protocols import Source
from streamdenoise.pipeline.denoising import Denoising
from streamdenoise.pipeline.drop_log import DropLog
from streamdenoise.pipeline.figures import Figures
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.live_rules import LiveFrames, LiveRules, file_rules
from streamdenoise.pipeline.queue import FrameQueue, Overflow
from streamdenoise.pipeline.reader import FindReference, Reader
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair, Output, Writer
from streamdenoise.progress import HANG_S

log = logging.getLogger(__name__)

_DRAIN_S = 0.7
"""Time for outputs of a live source to write their queued frames."""

_WATCH_S = 0.05
"""Time between two looks at the threads."""

_BURST_FRAMES, _BURST_BYTES = 64, 1 << 27
"""Limits of a queue when a network delivers a burst of frames after a stall."""

OnStats = Callable[[Stats], None]


class Pipeline:
    """Runs one stream from its source to its outputs, once.

    Sources and sinks are opened by the caller. `run` closes the sinks, or aborts them
    if it fails; closing them again does nothing. The caller closes the source.

    After a stop, `run` ends in bounded time, even if a disk, a library, a driver or a
    network hangs; so it does at the end of a live source. When it has ended, all
    threads have ended, except for daemon threads that are left behind: the one that
    reads, if it is blocked (`is_reading`), and those that hang, of which `HungError`
    says so after everything else was finished.
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
        with_ssim: bool = False,
        stats_interval_s: float = 0.25,
        drop_log_interval_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts; nothing starts before `run`.

        Args:
            source: Read by its own thread.
            denoiser: Called by a thread of its own.
            outputs: Each is written and ended by its own thread; the first one counts
                as "out" in the figures, which leave views out.
                Those never hold up the rest.
            overflow: Policy of full queues; None blocks, or drops for a live source.
            capacity: Frames that each queue holds.
            reference: Finds clean frames, to compare the results with; None shows the
                denoiser's estimate of the PSNR.
            live: For a source that may be lost and come back; None is for a source
                that is read to its end.
            each_alone: Whether frames are images that have nothing to do with each
                other: the denoiser is reset for each.
            with_ssim: Whether the SSIM is measured, too, if there is a reference; it
                takes longer than the PSNR.
            stats_interval_s: Shortest time between two calls of `on_stats`.
            drop_log_interval_s: Shortest time between two log lines about drops; it
                grows while drops continue.
            clock: Returns seconds, comparable with `Frame.captured_at`.
        """
        if overflow is None:
            drops = source.info.is_live
            overflow = Overflow.DROP_OLDEST if drops else Overflow.BLOCK
        self._is_live = live is not None
        rules = live or file_rules()
        burst = _burst(source.info) if self._is_live else None
        self._overflow = overflow
        self._hang_s = rules.hang_s
        self._reader = Reader(
            source,
            FrameQueue(capacity, overflow, burst=burst),
            reference,
            is_live=self._is_live,
            clock=clock,
        )
        self._denoising = Denoising(
            denoiser,
            self._reader,
            self._put,
            rules,
            LiveFrames(rules, source.info.time_base),
            is_live=self._is_live,
            each_alone=each_alone,
            with_ssim=with_ssim,
            clock=clock,
        )
        self._writers = [
            Writer(
                output,
                FrameQueue(
                    capacity,
                    Overflow.DROP_OLDEST if output.is_view else overflow,
                    burst=burst,
                ),
                latest_stats=lambda: self._stats,
                on_error=self._leave_out,
                name=f"write-{number}",
                hang_s=rules.hang_s,
                clock=clock,
            )
            for number, output in enumerate(outputs)
        ]
        self._counted = [each for each in self._writers if not each.is_view] or (
            self._writers
        )
        self._figures = Figures(
            source, self._denoising, self._reader, self._counted, clock
        )
        self._drop_log = DropLog(drop_log_interval_s)
        self._clock = clock
        self._stats = Stats()
        self._stats_interval_s = stats_interval_s
        self._stats_at = float("-inf")
        self._has_run = self._is_running = self._is_finishing = False
        self._is_stopped = self._is_reading = False
        self._ends_since: float | None = None
        self._looked_at = 0.0
        self._lock = Lock()
        self._error: BaseException | None = None
        """Error of the first output that failed."""

    def run(self, on_stats: OnStats | None = None) -> Stats:
        """Work until the source ends, a part fails, or `stop` is called.

        Frames that were decoded before the source failed are still written.

        Args:
            on_stats: Called from this thread, several times a second once the engines
                are loaded, and at the end.

        Returns:
            The figures of the whole run.

        Raises:
            HungError: A part hangs. The others were finished, and nothing that the
                pipeline was given may be closed: threads still use it.
            Exception: Any error of the source, the denoiser or a sink, unchanged.
        """
        if self._has_run:
            raise RuntimeError("a pipeline runs once; make a new one")
        self._has_run = self._is_running = True
        self._looked_at = time.monotonic()
        self._figures.start()
        self._drop_log.start(self._clock())
        self._reader.start()
        for writer in self._writers:
            writer.start()
        self._denoising.start()
        cause: BaseException | None = None
        try:
            self._watch(on_stats)
        except BaseException as exc:
            cause = exc
            raise
        finally:
            try:
                self._finish(cause, on_stats)
            finally:
                self._is_running = False
        if self._error is not None:
            raise self._error
        self._drop_log.update(self._figures.slow_drops(), self._clock(), final=True)
        self._stats = self._figures.snapshot()
        if on_stats is not None:
            on_stats(self._stats)
        return self._stats

    @property
    def is_watching(self) -> bool:
        """Whether `run` has not ended, and bounds the time of a stop.

        It does not if what it calls, such as `on_stats`, hangs.
        """
        is_late = time.monotonic() - self._looked_at > HANG_S
        return self._is_running and not is_late

    @property
    def is_reading(self) -> bool:
        """Whether a thread still reads the source after `run`, so that it stays open.

        Live sources notice by themselves that they are closed.
        """
        return self._is_reading

    def stop(self) -> None:
        """End the run soon, as if the source had ended: outputs stay complete.

        May be called from any thread or signal handler, any number of times, also
        before `run`.
        """
        self._is_stopped = True
        self._reader.stop()
        if self._is_live and self._overflow is Overflow.BLOCK:
            # Otherwise the denoiser's thread could wait for an output that hangs.
            for writer in self._writers:
                writer.queue.close()

    def _watch(self, on_stats: OnStats | None) -> None:
        """Report figures until nothing is left to denoise, or the denoiser hangs.

        Raises:
            BaseException: What the source, the denoiser or `on_stats` has raised.
        """
        was_prepared = False
        while not self._denoising.join(_WATCH_S):
            self._check()
            if self._is_stuck():
                return
            if self._denoising.is_prepared:
                if not was_prepared:
                    was_prepared = True
                    # No part was too slow: there was no engine yet.
                    self._drop_log.ignore(self._figures.slow_drops())
                self._update(on_stats)

    def _check(self) -> None:
        """Log what hangs, and let nothing wait for it once the end has come.

        Without a stop, a file may take as long as it likes.
        """
        self._looked_at = time.monotonic()
        is_ending = self._is_stopped or (self._is_live and self._reader.has_ended)
        if self._ends_since is None and is_ending:
            self._ends_since = time.monotonic()
        for writer in self._writers:
            writer.check()
            if writer.hang and self._ends_since is not None:
                writer.queue.close(discard=True)

    def _is_stuck(self) -> bool:
        """Whether the end has come, and the denoiser hangs."""
        if self._ends_since is None or not self._denoising.hang:
            return False
        # A slow build may take a moment to stop.
        late_s = time.monotonic() - self._ends_since
        return self._denoising.is_prepared or late_s > self._hang_s()

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

    def _finish(self, cause: BaseException | None, on_stats: OnStats | None) -> None:
        """End everything; `cause` is why the run has failed, if it has.

        Raises:
            HungError: A part hangs. The others have ended.
        """
        self._is_finishing = True
        self._reader.stop()
        discard = not isinstance(cause, Exception | None)
        if discard:
            for writer in self._writers:
                writer.end(cause, discard=True)
        while self._denoising.is_alive and not self._is_stuck():
            self._check()
            self._denoising.wait(_WATCH_S)
        self._end_writers(cause, discard, on_stats)
        self._is_reading = not self._reader.join() and not self._is_live
        if hangs := self._hangs():
            raise HungError("; ".join(hangs)) from (cause or self._error)

    def _end_writers(
        self, cause: BaseException | None, discard: bool, on_stats: OnStats | None
    ) -> None:
        """Finish the outputs, all at the same time, and leave behind those that hang.

        Live ones skip what they cannot write soon, and those blocked on a network are
        interrupted.
        """
        if not self._is_live:
            cause = cause or self._error
        for writer in self._writers:
            writer.end(cause, discard=discard)
        if self._is_live:
            deadline = time.monotonic() + _DRAIN_S
            for writer in self._writers:
                if not writer.drained(max(0.0, deadline - time.monotonic())):
                    writer.interrupt()
        while busy := [each for each in self._writers if not each.join(0)]:
            self._check()
            if self._ends_since is not None and all(writer.hang for writer in busy):
                return
            busy[0].join(_WATCH_S)
            if cause is None:
                self._update(on_stats)

    def _hangs(self) -> list[str]:
        """What is left behind, and what the user can do about it."""
        found = [
            f"{writer.name} was not finished: {writer.hang}; check its disk, network "
            "or encoder"
            for writer in self._writers
            if not writer.join(0)
        ]
        if self._denoising.is_alive:
            found.append(
                f"the denoiser did not stop: {self._denoising.hang}; check the GPU and "
                "its driver"
            )
        return found

    def _leave_out(self, failed: Writer, exc: BaseException) -> None:
        """Continue without an output, or end the run if it is the last or not live."""
        with self._lock:
            is_first, self._error = self._error is None, self._error or exc
        if self._is_finishing:
            if not is_first:
                log.error("%s", exc)
        elif self._is_live and any(not writer.error for writer in self._counted):
            log.error("%s; the other outputs continue", exc)
        else:
            self.stop()


def _burst(info: StreamInfo) -> int:
    """Most frames of a burst that a queue holds."""
    samples = sum(
        math.prod(s) for s in plane_shapes(info.pix_fmt, info.width, info.height)
    )
    size_bytes = samples * (1 if bit_depth(info.pix_fmt) == 8 else 2)
    return min(_BURST_FRAMES, _BURST_BYTES // max(1, size_bytes))
