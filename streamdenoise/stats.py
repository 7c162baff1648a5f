"""Figures of a running pipeline: rates, latency, drops, noise and PSNR."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


class RateMeter:
    """Frames per second over the last `window` frames, from gaps, not stamps."""

    def __init__(
        self, window: int = 60, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stamps: deque[float] = deque(maxlen=window + 1)
        self._clock = clock

    def tick(self) -> None:
        """Count one frame now."""
        self._stamps.append(self._clock())

    @property
    def fps(self) -> float:
        """Measured rate in Hz; 0.0 before the second frame."""
        if len(self._stamps) < 2:
            return 0.0
        elapsed = self._stamps[-1] - self._stamps[0]
        return (len(self._stamps) - 1) / elapsed if elapsed > 0 else 0.0


class LatencyMeter:
    """Percentiles of the last `window` latencies, in milliseconds."""

    def __init__(self, window: int = 600) -> None:
        self._samples: deque[float] = deque(maxlen=window)

    def add(self, latency_ms: float) -> None:
        self._samples.append(latency_ms)

    def percentile(self, q: float) -> float:
        """The q-th percentile (0 to 100) by nearest rank; 0.0 without samples."""
        if not self._samples:
            return 0.0
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(q / 100 * len(ordered)))]


@dataclass(slots=True)
class Stats:
    """A snapshot of a pipeline, given to `on_stats` and returned by `run`."""

    frames_in: int = 0
    frames_out: int = 0
    dropped: int = 0
    """Frames that the source gave and the overflow policy discarded."""
    fps_in: float = 0.0
    fps_out: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    sigma: float = 0.0
    """Noise level in 8-bit levels of RGB, told or estimated."""
    strength: float = 1.0
    """Factor on the noise level that the denoiser works with."""
    psnr_in_db: float | None = None
    psnr_out_db: float | None = None
    psnr_is_estimate: bool = True
    """False when the PSNR is measured against a reference (DESIGN: honest PSNR)."""
    elapsed_s: float = 0.0
    notes: list[str] = field(default_factory=list)


def stats_items(stats: Stats) -> tuple[str, ...]:
    """The figures of a running pipeline as short pieces of text.

    A PSNR that was not measured against a reference is marked ``est.``.
    """
    items = [
        f"in {stats.fps_in:.1f} out {stats.fps_out:.1f} fps",
        f"latency {stats.latency_p50_ms:.0f}/{stats.latency_p99_ms:.0f} ms p50/p99",
        f"dropped {stats.dropped}",
        f"sigma {stats.sigma:.1f}",
        f"strength {stats.strength:.2f}",
    ]
    if stats.psnr_in_db is not None and stats.psnr_out_db is not None:
        label = "est. PSNR" if stats.psnr_is_estimate else "PSNR"
        items.append(f"{label} {stats.psnr_in_db:.1f} -> {stats.psnr_out_db:.1f} dB")
    return tuple(items)
