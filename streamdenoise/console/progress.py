"""Progress on stderr: a redrawn line on a terminal, an occasional line in a log."""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TextIO

from streamdenoise.console.logs import logs_json
from streamdenoise.contexts import Closing
from streamdenoise.frame import StreamInfo
from streamdenoise.imaging.metrics import Scores
from streamdenoise.imaging.noise_words import noise_words
from streamdenoise.pipeline.stats import Stats, estimate_words, stats_items
from streamdenoise.security.plain_text import printable

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 30.0
"""Seconds between two lines when stderr is not a terminal."""
BAR_WIDTH = 24


class RedrawnLine:
    """A line on a terminal that is redrawn in place and finally removed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = False

    def draw(self, text: str) -> None:
        """Show `text`, cut to the width of the terminal."""
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r" + printable(text)[:width].ljust(width))
        self._stream.flush()
        self._drawn = True

    def clear(self) -> None:
        """Remove the line, to make room for other output."""
        if self._drawn:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r" + " " * width + "\r")
            self._stream.flush()
            self._drawn = False


def bar_line(done: int, total: int, rate: float, unit: str) -> str:
    """A bar, counts, `rate` in `unit` and the remaining time.

    `rate` is per second, whatever its `unit` is called.
    """
    share = min(1.0, done / total)
    bar = ("#" * round(share * BAR_WIDTH)).ljust(BAR_WIDTH, ".")
    eta = f"  ETA {_clock_time(max(0, total - done) / rate)}" if rate else ""
    return f"[{bar}] {share:4.0%}  {done}/{total}  {rate:.1f} {unit}{eta}"


class BuildProgress:
    """Shows the progress of building an engine, and stops it on request.

    There is no bar, because steps are few and of very different lengths. The line is
    removed after the last step of each phase.
    """

    def __init__(
        self,
        stopped: Callable[[], bool],
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        """Show nothing if `quiet`; stop the build once `stopped` returns True."""
        self._stopped = stopped
        self._stream = stream or sys.stderr
        self._line = RedrawnLine(self._stream)
        self._shown = not quiet and self._stream.isatty()
        self._start = time.monotonic()

    def step(self, phase: str, step: int, steps: int) -> bool:
        """Report a step; returns False to stop the build."""
        if self._shown:
            elapsed = _clock_time(time.monotonic() - self._start)
            self._line.draw(f"building, {elapsed}: {phase} {step + 1}/{steps}")
        stopped = self._stopped()
        if stopped or step + 1 == steps:
            self._line.clear()
        return not stopped


class Progress(Closing):
    """Shows the progress of a job; a context manager that finally removes its line."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        live: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing if `quiet`, and the stats of a live stream if `live`."""
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = live
        self._clock = clock
        self._total: int | None = None
        self._is_terminal = self._stream.isatty()
        self._shown_at = clock()
        self._redrawn = RedrawnLine(self._stream)

    def opened(self, info: StreamInfo) -> None:
        """Take the expected number of frames from `info`."""
        self._total = info.num_frames

    def update(self, stats: Stats) -> None:
        """Show `stats` if stderr can be written to."""
        if self._quiet:
            return
        # A full disk or a closed terminal must not end the job.
        with suppress(OSError):
            self._show(stats)

    def _show(self, stats: Stats) -> None:
        as_json = logs_json()
        if as_json or not self._is_terminal:
            if self._clock() - self._shown_at < LOG_INTERVAL_S:
                return
            self._shown_at = self._clock()
            if as_json:
                log.info("%s", self.line(stats), extra=stats_fields(stats))
            else:
                self._stream.write(printable(self.line(stats)) + "\n")
                self._stream.flush()
            return
        self._redrawn.draw(self.line(stats))

    def line(self, stats: Stats) -> str:
        """The line to show: a bar with fps and remaining time, or live stats."""
        if self._live:
            return "  ".join(stats_items(stats))
        if not self._total:
            return f"{stats.frames_out} frames  {stats.fps_out:.1f} fps"
        return bar_line(stats.frames_out, self._total, stats.fps_out, "fps")

    def close(self) -> None:
        """Remove the line; further calls do nothing."""
        with suppress(OSError):
            self._redrawn.clear()


def stats_fields(stats: Stats) -> dict[str, object]:
    """The most important stats, for structured logs; the status page has all."""
    return {
        "frames_in": stats.frames_in,
        "frames_out": stats.frames_out,
        "dropped": stats.dropped,
        "fps_in": round(stats.fps_in, 2),
        "fps_out": round(stats.fps_out, 2),
        "latency_p50_ms": round(stats.latency.p50_ms, 1),
        "latency_p99_ms": round(stats.latency.p99_ms, 1),
        "sigma": round(stats.sigma, 2),
        "noise_levels": [round(level, 2) for level in stats.noise_levels],
        "psnr_in_db": stats.psnr_in_db,
        "psnr_out_db": stats.psnr_out_db,
        "psnr_is_estimate": stats.psnr_is_estimate,
        "psnr_error_db": stats.psnr_error_db,
        "scores": None if stats.scores is None else asdict(stats.scores),
        "reconnects": stats.reconnects,
        "load_step": stats.load_step,
    }


def summary(name: str, stats: Stats) -> str:
    """One line about a finished job: frames, speed, noise level and PSNR."""
    fps = stats.frames_out / stats.elapsed_s if stats.elapsed_s > 0 else 0.0
    parts = [f"{stats.frames_out} frames", f"{fps:.1f} fps"]
    parts.append(noise_words(stats.noise_levels))
    if stats.dropped:
        parts.append(f"dropped {stats.dropped}")
    before, after = stats.psnr_in_db, stats.psnr_out_db
    if before is not None and after is not None:
        if stats.psnr_is_estimate:
            parts.append(estimate_words(before, after, stats.psnr_error_db))
        else:
            gain = f"({after - before:+.2f})"
            parts.append(f"PSNR {before:.2f} -> {after:.2f} dB {gain}")
    if stats.scores is not None:
        parts += _score_words(stats.scores)
    return f"{name}: {', '.join(parts)}"


def _score_words(scores: Scores) -> list[str]:
    before, after = scores.before, scores.after
    words = [f"MSE {before.mse:.4g} -> {after.mse:.4g}"]
    if before.ssim is not None and after.ssim is not None:
        words.append(f"SSIM {before.ssim:.4f} -> {after.ssim:.4f}")
    return words


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
