"""Source, denoiser and sinks at work together, each at its own pace.

Three kinds of threads: one decodes, the caller's denoises, and one for each output
writes. They share `FrameQueue` and the figures, nothing else.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from typing import NamedTuple, Protocol

from streamdenoise.errors import SourceLostError
from streamdenoise.frame import Frame, StreamInfo, bit_depth, plane_shapes
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.io.protocols import Sink, Source
from streamdenoise.pipeline.live_clock import LiveClock
from streamdenoise.pipeline.queue import FrameQueue, Overflow
from streamdenoise.pipeline.stats import LatencyMeter, OutputStats, RateMeter, Stats

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 30.0
"""How long a source may take to notice that nobody wants its frames any more."""

_LEAVE_S = 0.3
"""The same for a live source: it may wait for a network, and is left to itself then."""

_DRAIN_S = 0.7
"""How long outputs of a live source may take to write what waits for them."""

_TICK_S = 0.2
"""How often a live pipeline that gets no frames looks after itself."""

_LONGEST_DROP_LOG_S = 600.0

_BURST_FRAMES, _BURST_BYTES = 64, 1 << 27
"""What may wait for a moment when a network delivers all at once after a stall."""

Clock = Callable[[], float]
"""Seconds, comparable with `Frame.captured_at`."""

Render = Callable[[Frame, Frame, Stats], Frame]
"""Makes the written picture of the frame before, the frame after, and the figures."""

OnStats = Callable[[Stats], None]

FindReference = Callable[[Frame], tuple[Frame, Frame | None]]
"""Gives the frame to denoise and its clean version, for each frame of the source."""


class FrameDenoiser(Protocol):
    """The stateful step: frames out as they went in, in order, perhaps later.

    A frame that it leaves out counts as shed load. `index` tells which is which.
    """

    def process(self, frame: Frame) -> list[Frame]: ...

    def flush(self) -> list[Frame]: ...


@dataclass(frozen=True, slots=True)
class Output:
    """A sink, and how its picture is made of a frame before and after."""

    sink: Sink
    render: Render | None = None
    """None writes the denoised frame as it is."""
    name: str = ""
    """For the figures and logs, without credentials."""


@dataclass(frozen=True, slots=True)
class LiveRules:
    """How a pipeline goes on for months, whatever fails around it.

    An output that fails is left out while others work. A source that does not come back
    from a wait is not waited for.
    """

    prepare: Callable[[], None] | None = None
    """Called before the first frame is denoised, while others arrive and are dropped:
    none has to wait for it."""
    wall_clock: bool = True
    """Whether timestamps are those of a `LiveClock`."""
    hold: Callable[[Frame, float], Frame] | None = None
    """Makes the picture that is shown when none has come for so many seconds, of the
    last clean one; None shows nothing."""
    hold_after_s: float = 1.0
    """Silence, in seconds, after which it is shown."""


class _Picture(NamedTuple):
    """What is handed to the outputs."""

    noisy: Frame
    clean: Frame
    is_held: bool


class _Writer:
    """An output with its queue and its figures."""

    def __init__(
        self, output: Output, queue: FrameQueue[_Picture], clock: Clock
    ) -> None:
        self.output = output
        self.queue = queue
        self.latency = LatencyMeter()
        self.rate = RateMeter(clock=clock)
        self.frames = 0
        self.error = ""
        self.interrupted = False

    def stats(self) -> OutputStats:
        sink = self.output.sink
        return OutputStats(
            name=self.output.name,
            frames=self.frames,
            dropped=self.queue.dropped + getattr(sink, "dropped", 0),
            queued=len(self.queue),
            reconnects=getattr(sink, "reconnects", 0),
            error=self.error or getattr(sink, "error", ""),
            latency=self.latency.latency(),
        )


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
        live: LiveRules | None = None,
        stats_interval_s: float = 0.25,
        drop_log_interval_s: float = 5.0,
        clock: Clock = time.monotonic,
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
            live: For a source that may be lost and come back.
            stats_interval_s: Least time between two calls of `on_stats`.
            drop_log_interval_s: Least time between two log lines about drops; it grows
                while they go on.
            clock: Tells the time.
        """
        if overflow is None:
            drops = source.info.is_live
            overflow = Overflow.DROP_OLDEST if drops else Overflow.BLOCK
        self._source = source
        self._denoiser = denoiser
        self._overflow = overflow
        self._reference = reference
        self._live = live
        self._live_clock = None
        if live is not None and live.wall_clock:
            self._live_clock = LiveClock(source.info.time_base)
        self._stats_interval_s = stats_interval_s
        self._drop_log_interval_s = self._drop_log_wait_s = drop_log_interval_s
        self._clock = clock
        burst = _burst(source.info) if live else None
        self._decoded = FrameQueue[tuple[Frame, Frame | None]](
            capacity, overflow, burst=burst
        )
        self._writers = [
            _Writer(output, FrameQueue(capacity, overflow, burst=burst), clock)
            for output in outputs
        ]
        self._inside: deque[tuple[Frame, Frame | None]] = deque()
        self._newest: Frame | None = None
        self._held_at = float("-inf")
        self._shed = 0
        self._lock = Lock()
        self._error: BaseException | None = None
        self._started_at: float | None = None
        self._shown = Stats()
        self._shown_at = float("-inf")
        self._drops_logged = 0
        self._drops_logged_at = 0.0
        self._frames_in = 0
        self._frame_at = 0.0
        self._rate_in = RateMeter(clock=clock)
        self._psnr_sums = (0.0, 0.0)
        self._psnr_count = 0

    def run(self, on_stats: OnStats | None = None) -> Stats:
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
        self._started_at = self._drops_logged_at = self._frame_at = self._clock()
        decode = Thread(target=self._decode, name="decode", daemon=bool(self._live))
        writes = [
            Thread(target=self._write, args=(writer,), name=f"write-{n}")
            for n, writer in enumerate(self._writers)
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
            for writer in self._writers:
                writer.queue.close(discard=abandon)
            self._end_writes(writes)
            decode.join(_LEAVE_S if self._live else JOIN_TIMEOUT_S)
        if self._error is not None:
            raise self._error
        if decode.is_alive() and not self._live:
            raise SourceLostError(
                f"the source did not stop within {JOIN_TIMEOUT_S:.0f} s; check the "
                "device or the connection"
            )
        self._log_drops(final=True)
        self._shown = self._snapshot()
        if on_stats is not None:
            on_stats(self._shown)
        return self._shown

    def _end_writes(self, threads: Sequence[Thread]) -> None:
        """Wait for the outputs.

        Live ones leave out what they cannot write soon, and those that hang on a
        network are interrupted.
        """
        if self._live:
            deadline = time.monotonic() + _DRAIN_S
            for writer, thread in zip(self._writers, threads, strict=True):
                thread.join(max(0.0, deadline - time.monotonic()))
                if not thread.is_alive():
                    continue
                writer.queue.close(discard=True)
                interrupt = getattr(writer.output.sink, "interrupt", None)
                if interrupt is not None:
                    writer.interrupted = True
                    interrupt()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """End the run soon, as if the source had ended: outputs stay complete.

        May be called from any thread or signal handler, any number of times, also
        before `run`.
        """
        self._decoded.close(discard=True)
        if self._live is not None and self._overflow is Overflow.BLOCK:
            # Who waits for a full queue would wait for an output that hangs.
            for writer in self._writers:
                writer.queue.close()

    def _decode(self) -> None:
        error = None
        try:
            for frame in self._source:
                find = self._reference
                item = (frame, None) if find is None else find(frame)
                if not self._decoded.put(item):
                    break
                self._frames_in += 1
                self._frame_at = self._clock()
                self._rate_in.tick()
        except BaseException as exc:  # any kind: it is raised again by `_denoise`
            error = exc
        finally:
            self._decoded.close(error)

    def _denoise(self, on_stats: OnStats | None) -> None:
        if self._live is not None and self._live.prepare is not None:
            self._live.prepare()
            # Nobody was too slow: there was no engine yet.
            self._drops_logged = sum(self._drops().values())
        try:
            while (item := self._next(on_stats)) is not None:
                self._inside.append(item)
                self._emit(self._denoiser.process(item[0]))
                self._show(on_stats)
        except Exception as exc:
            if exc is self._decoded.error:
                self._emit(self._denoiser.flush())
            raise
        self._emit(self._denoiser.flush())

    def _next(self, on_stats: OnStats | None) -> tuple[Frame, Frame | None] | None:
        """The next frame and its reference; None at the end."""
        while (item := self._decoded.take(_TICK_S if self._live else None)) is None:
            if self._decoded.ended:
                return None
            self._hold()
            self._show(on_stats)
        if self._live_clock is None:
            return item
        return self._live_clock.stamp(item[0]), item[1]

    def _hold(self) -> None:
        """Let the last picture stand for those that do not come."""
        live, newest, now = self._live, self._newest, self._clock()
        silence = now - self._frame_at
        if (
            live is None
            or live.hold is None
            or self._live_clock is None
            or newest is None
            or silence < live.hold_after_s
            or now - self._held_at < _TICK_S / 2
        ):
            return
        self._held_at = now
        picture = self._live_clock.hold(live.hold(newest, silence), now)
        self._put(_Picture(picture, picture, is_held=True))

    def _emit(self, cleaned: list[Frame]) -> None:
        """Hand frames to the outputs, each beside the noisy frame it was made of."""
        for clean in cleaned:
            noisy, reference = self._inside.popleft()
            while noisy.index != clean.index:
                self._shed += 1
                noisy, reference = self._inside.popleft()
            if reference is not None:
                self._measure(reference, noisy, clean)
            self._newest = clean
            self._put(_Picture(noisy, clean, is_held=False))

    def _put(self, picture: _Picture) -> None:
        for writer in self._writers:
            writer.queue.put(picture)

    def _measure(self, reference: Frame, noisy: Frame, clean: Frame) -> None:
        """Add the PSNR of the first plane (luma, or RGB) before and after."""
        peak = (1 << bit_depth(reference.pix_fmt)) - 1
        truth = reference.planes[0]
        before, after = self._psnr_sums
        before += psnr_db(truth, noisy.planes[0], peak)
        after += psnr_db(truth, clean.planes[0], peak)
        self._psnr_sums = (before, after)
        self._psnr_count += 1

    def _write(self, writer: _Writer) -> None:
        sink, render = writer.output.sink, writer.output.render
        try:
            for noisy, clean, is_held in writer.queue:
                frame = clean if render is None else render(noisy, clean, self._shown)
                dropped = getattr(sink, "dropped", 0)
                sink.write(frame)
                if getattr(sink, "dropped", 0) != dropped:
                    continue  # it is away
                with self._lock:
                    writer.frames += 1
                    if not is_held:
                        age_s = self._clock() - noisy.captured_at
                        writer.latency.add(age_s * 1000)
                        writer.rate.tick()
        except BaseException as exc:  # any kind: it is raised again by `run`
            self._failed(writer, exc)
        finally:
            writer.queue.close(discard=True)

    def _failed(self, writer: _Writer, exc: BaseException) -> None:
        """Leave an output out, or end the run where none is left."""
        if writer.interrupted:
            log.info("interrupted: %s", exc)
            return
        with self._lock:
            writer.error = str(exc)
            if self._error is None:
                self._error = exc
            others = any(not each.error for each in self._writers)
        if self._live is None or not others:
            self.stop()
        else:
            log.error("%s; the other outputs go on", exc)
            writer.output.sink.abort()

    def _show(self, on_stats: OnStats | None) -> None:
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
        for writer in self._writers:
            notes.extend(getattr(writer.output.sink, "notes", ()))
        with self._lock:
            outputs = tuple(writer.stats() for writer in self._writers)
            first = outputs[0] if outputs else OutputStats("")
            return Stats(
                frames_in=self._frames_in,
                frames_out=first.frames,
                drops=self._drops(),
                fps_in=self._rate_in.fps,
                fps_out=self._writers[0].rate.fps if self._writers else 0.0,
                latency=first.latency,
                sigma=getattr(self._denoiser, "sigma", 0.0),
                strength=getattr(self._denoiser, "strength", 1.0),
                psnr_in_db=before,
                psnr_out_db=after,
                psnr_is_estimate=not measured,
                elapsed_s=self._clock() - (self._started_at or 0.0),
                frame_age_s=self._clock() - self._frame_at,
                reconnects=getattr(self._source, "reconnects", 0),
                source_error=getattr(self._source, "error", ""),
                load_step=getattr(self._denoiser, "load_step", ""),
                outputs=outputs,
                notes=notes,
            )

    def _drops(self) -> dict[str, int]:
        """By cause; of the outputs, that of the one which missed the most."""
        writing = max((writer.queue.dropped for writer in self._writers), default=0)
        return {
            "denoising": self._decoded.dropped,
            "writing": writing,
            "load": self._shed,
        }

    def _log_drops(self, final: bool = False) -> None:
        """One line for all drops of an interval, naming the slow part."""
        elapsed = self._clock() - self._drops_logged_at
        if elapsed < self._drop_log_wait_s and not final:
            return
        drops = self._drops()
        del drops["load"]  # on purpose, and told by who does it
        dropped = sum(drops.values())
        if new := dropped - self._drops_logged:
            slow = max(drops, key=lambda cause: drops[cause])
            log.warning(
                "%s is too slow, dropped %d frames in %.0f s", slow, new, elapsed
            )
            self._drop_log_wait_s = min(2 * self._drop_log_wait_s, _LONGEST_DROP_LOG_S)
        else:
            self._drop_log_wait_s = self._drop_log_interval_s
        self._drops_logged = dropped
        self._drops_logged_at = self._clock()


def _burst(info: StreamInfo) -> int:
    """How many frames may wait for a moment."""
    samples = sum(
        math.prod(s) for s in plane_shapes(info.pix_fmt, info.width, info.height)
    )
    size_bytes = samples * (1 if bit_depth(info.pix_fmt) == 8 else 2)
    return min(_BURST_FRAMES, _BURST_BYTES // max(1, size_bytes))
