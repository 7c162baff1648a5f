"""Source, denoiser and sinks at work together, each at its own pace.

Three kinds of threads: one decodes, the caller's denoises, and one for each output
writes. They share `FrameQueue` and the figures, nothing else.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Protocol

from streamdenoise.config import Overflow
from streamdenoise.errors import SourceLostError
from streamdenoise.frame import Frame, bit_depth
from streamdenoise.frame_queue import FrameQueue
from streamdenoise.io import Sink, Source
from streamdenoise.metrics import psnr_db
from streamdenoise.stats import LatencyMeter, RateMeter, Stats

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 30.0
"""How long a source may take to notice that nobody wants its frames any more."""

Render = Callable[[Frame, Frame, Stats], Frame]
"""Makes the written picture of the frame before, the frame after, and the figures."""

FindReference = Callable[[Frame], tuple[Frame, Frame | None]]
"""Gives the frame to denoise and its clean version, for each frame of the source."""


class FrameDenoiser(Protocol):
    """The stateful step: as many frames out as in, in order, perhaps later."""

    def process(self, frame: Frame) -> list[Frame]: ...

    def flush(self) -> list[Frame]: ...


@dataclass(frozen=True, slots=True)
class Output:
    """A sink, and how its picture is made of a frame before and after."""

    sink: Sink
    render: Render | None = None
    """None writes the denoised frame as it is."""


class Pipeline:
    """Runs one stream from its source to its outputs, once.

    Sources and sinks are opened and closed by the caller, around `run`. All threads
    have ended when `run` returns or raises.
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
        stats_interval_s: float = 0.25,
        drop_log_interval_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts; nothing starts before `run`.

        Args:
            source: Read by a thread of its own.
            denoiser: Called by the thread that calls `run`. Its `sigma`, `strength`
                and `psnr_estimate`, where it has them, are shown in the figures.
            outputs: Each is written by a thread of its own; the first one counts as
                "out" in the figures.
            overflow: What full queues do; None blocks, or drops for a live source.
            capacity: Frames that each queue holds.
            reference: Makes the PSNR a measured one.
            stats_interval_s: Least time between two calls of `on_stats`.
            drop_log_interval_s: Least time between two log lines about drops.
            clock: Seconds, comparable with `Frame.captured_at`.
        """
        if overflow is None:
            live = source.info.is_live
            overflow = Overflow.DROP_OLDEST if live else Overflow.BLOCK
        self._source = source
        self._denoiser = denoiser
        self._reference = reference
        self._stats_interval_s = stats_interval_s
        self._drop_log_interval_s = drop_log_interval_s
        self._clock = clock
        self._decoded = FrameQueue[tuple[Frame, Frame | None]](capacity, overflow)
        self._writers = [
            (output, FrameQueue[tuple[Frame, Frame]](capacity, overflow))
            for output in outputs
        ]
        self._inside: deque[tuple[Frame, Frame | None]] = deque()
        self._lock = Lock()
        self._error: BaseException | None = None
        self._started_at: float | None = None
        self._shown = Stats()
        self._shown_at = float("-inf")
        self._drops_logged = 0
        self._drops_logged_at = 0.0
        self._frames_in = 0
        self._frames_out = 0
        self._rate_in = RateMeter(clock=clock)
        self._rate_out = RateMeter(clock=clock)
        self._latency = LatencyMeter()
        self._psnr_sums = (0.0, 0.0)
        self._psnr_count = 0

    def run(self, on_stats: Callable[[Stats], None] | None = None) -> Stats:
        """Work until the source ends, a part fails, or `stop` is called.

        Frames that were decoded before the source failed are still written.

        Args:
            on_stats: Called from this thread, now and then while frames arrive, and
                once at the end.

        Returns:
            The figures of the whole run.

        Raises:
            Exception: What the source, the denoiser or a sink raised, unchanged.
        """
        if self._started_at is not None:
            raise RuntimeError("a pipeline runs once; make a new one")
        self._started_at = self._drops_logged_at = self._clock()
        decode = Thread(target=self._decode, name="decode")
        writes = [
            Thread(target=self._write, args=(n,), name=f"write-{n}")
            for n in range(len(self._writers))
        ]
        for thread in (decode, *writes):
            thread.start()
        abandon = True
        try:
            self._denoise(on_stats)
            abandon = False
        except Exception:
            abandon = False
            raise
        finally:
            self._decoded.close(discard=True)
            for _, queue in self._writers:
                queue.close(discard=abandon)
            for thread in writes:
                thread.join()
            decode.join(JOIN_TIMEOUT_S)
        if self._error is not None:
            raise self._error
        if decode.is_alive():
            raise SourceLostError(
                f"the source did not stop within {JOIN_TIMEOUT_S:.0f} s; check the "
                "device or the connection"
            )
        self._log_drops(final=True)
        self._shown = self._snapshot()
        if on_stats is not None:
            on_stats(self._shown)
        return self._shown

    def stop(self) -> None:
        """End the run soon, as if the source had ended: outputs stay complete.

        May be called from any thread or signal handler, any number of times, also
        before `run`.
        """
        self._decoded.close(discard=True)

    def _decode(self) -> None:
        error = None
        try:
            for frame in self._source:
                find = self._reference
                item = (frame, None) if find is None else find(frame)
                if not self._decoded.put(item):
                    break
                self._frames_in += 1
                self._rate_in.tick()
        except BaseException as exc:  # any kind: it is raised again by `_denoise`
            error = exc
        finally:
            self._decoded.close(error)

    def _denoise(self, on_stats: Callable[[Stats], None] | None) -> None:
        try:
            for item in self._decoded:
                self._inside.append(item)
                self._emit(self._denoiser.process(item[0]))
                self._show(on_stats)
        except Exception as exc:
            if exc is self._decoded.error:
                self._emit(self._denoiser.flush())
            raise
        self._emit(self._denoiser.flush())

    def _emit(self, cleaned: list[Frame]) -> None:
        """Hand frames to the outputs, each beside the noisy frame it was made of."""
        for clean in cleaned:
            noisy, reference = self._inside.popleft()
            if reference is not None:
                self._measure(reference, noisy, clean)
            for _, queue in self._writers:
                queue.put((noisy, clean))

    def _measure(self, reference: Frame, noisy: Frame, clean: Frame) -> None:
        """Add the PSNR of the first plane (luma, or RGB) before and after."""
        peak = (1 << bit_depth(reference.pix_fmt)) - 1
        truth = reference.planes[0]
        before, after = self._psnr_sums
        before += psnr_db(truth, noisy.planes[0], peak)
        after += psnr_db(truth, clean.planes[0], peak)
        self._psnr_sums = (before, after)
        self._psnr_count += 1

    def _write(self, number: int) -> None:
        output, queue = self._writers[number]
        try:
            for noisy, clean in queue:
                render = output.render
                frame = clean if render is None else render(noisy, clean, self._shown)
                output.sink.write(frame)
                latency_ms = (self._clock() - noisy.captured_at) * 1000
                with self._lock:
                    self._latency.add(latency_ms)
                    if number == 0:
                        self._frames_out += 1
                        self._rate_out.tick()
        except BaseException as exc:  # any kind: it is raised again by `run`
            with self._lock:
                if self._error is None:
                    self._error = exc
            self.stop()
        finally:
            queue.close(discard=True)

    def _show(self, on_stats: Callable[[Stats], None] | None) -> None:
        now = self._clock()
        if now - self._shown_at < self._stats_interval_s:
            return
        self._shown_at = now
        self._shown = self._snapshot()
        self._log_drops()
        if on_stats is not None:
            on_stats(self._shown)

    def _snapshot(self) -> Stats:
        measured = self._psnr_count > 0
        if measured:
            before, after = (total / self._psnr_count for total in self._psnr_sums)
        else:
            estimate = getattr(self._denoiser, "psnr_estimate", None)
            before, after = estimate if estimate is not None else (None, None)
        notes = list(self._source.info.notes)
        for output, _ in self._writers:
            notes.extend(getattr(output.sink, "notes", ()))
        with self._lock:
            return Stats(
                frames_in=self._frames_in,
                frames_out=self._frames_out,
                dropped=self._dropped(),
                fps_in=self._rate_in.fps,
                fps_out=self._rate_out.fps,
                latency_p50_ms=self._latency.percentile(50),
                latency_p99_ms=self._latency.percentile(99),
                sigma=getattr(self._denoiser, "sigma", 0.0),
                strength=getattr(self._denoiser, "strength", 1.0),
                psnr_in_db=before,
                psnr_out_db=after,
                psnr_is_estimate=not measured,
                elapsed_s=self._clock() - (self._started_at or 0.0),
                notes=notes,
            )

    def _dropped(self) -> int:
        """Frames that never reached the output which missed the most."""
        return self._decoded.dropped + max(
            (queue.dropped for _, queue in self._writers), default=0
        )

    def _log_drops(self, final: bool = False) -> None:
        """One line for all drops of an interval, naming the slow part."""
        elapsed = self._clock() - self._drops_logged_at
        if elapsed < self._drop_log_interval_s and not final:
            return
        dropped = self._dropped()
        if new := dropped - self._drops_logged:
            outputs = dropped - self._decoded.dropped
            slow = "writing" if outputs > self._decoded.dropped else "denoising"
            log.warning(
                "%s is too slow, dropped %d frames in %.0f s", slow, new, elapsed
            )
        self._drops_logged = dropped
        self._drops_logged_at = self._clock()
