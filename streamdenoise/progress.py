"""Progress on stderr: one line that is redrawn, or a rare line in a log."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from streamdenoise.frame import StreamInfo
from streamdenoise.stats import Stats, stats_items

LOG_INTERVAL_S = 30.0
"""Time between two lines when stderr is no terminal."""
BAR_WIDTH = 24


class Progress:
    """Shows how far a job is; a context manager that leaves a clean line behind."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        live: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing when `quiet`, and the figures of a live stream when `live`."""
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = live
        self._clock = clock
        self._total: int | None = None
        self._is_terminal = self._stream.isatty()
        self._shown_at = clock()
        self._drawn = False

    def opened(self, info: StreamInfo) -> None:
        """Take the expected number of frames."""
        self._total = info.num_frames

    def update(self, stats: Stats) -> None:
        """Show `stats`."""
        if self._quiet:
            return
        if not self._is_terminal:
            if self._clock() - self._shown_at >= LOG_INTERVAL_S:
                self._shown_at = self._clock()
                self._stream.write(self.line(stats) + "\n")
                self._stream.flush()
            return
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r" + self.line(stats)[:width].ljust(width))
        self._stream.flush()
        self._drawn = True

    def line(self, stats: Stats) -> str:
        """What is shown: a bar with fps and time left, or the live figures."""
        if self._live:
            return "  ".join(stats_items(stats))
        done = stats.frames_out
        rate = f"{stats.fps_out:.1f} fps"
        if not self._total:
            return f"{done} frames  {rate}"
        share = min(1.0, done / self._total)
        bar = ("#" * round(share * BAR_WIDTH)).ljust(BAR_WIDTH, ".")
        left = max(0, self._total - done)
        eta = f"  ETA {_clock_time(left / stats.fps_out)}" if stats.fps_out else ""
        return f"[{bar}] {share:4.0%}  {done}/{self._total}  {rate}{eta}"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._drawn:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r" + " " * width + "\r")
            self._stream.flush()


def summary(name: str, stats: Stats) -> str:
    """One line about a finished job: frames, speed, noise and gain."""
    fps = stats.frames_out / stats.elapsed_s if stats.elapsed_s > 0 else 0.0
    parts = [f"{stats.frames_out} frames", f"{fps:.1f} fps", f"sigma {stats.sigma:.1f}"]
    if stats.dropped:
        parts.append(f"dropped {stats.dropped}")
    before, after = stats.psnr_in_db, stats.psnr_out_db
    if before is not None and after is not None:
        label = "est. PSNR" if stats.psnr_is_estimate else "PSNR"
        parts.append(f"{label} {before:.2f} -> {after:.2f} dB ({after - before:+.2f})")
    return f"{name}: {', '.join(parts)}"


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
