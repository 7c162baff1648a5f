"""Figures of a running pipeline: rates, latency, drops, noise and PSNR."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

LATENCY_BOUNDS_MS = (
    *(5.0, 10.0, 20.0, 33.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0),
    *(500.0, 750.0, 1000.0, 2000.0, 5000.0, 10000.0),
)
"""Upper ends of the classes in which latencies are counted."""

_SILENCE_S, _SILENCE_GAPS = 2.0, 3
"""Nothing for so long, and for so many times the usual gap, is a rate of 0."""


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
        """Measured rate in Hz; 0.0 before the second frame, and after the last."""
        if len(self._stamps) < 2:
            return 0.0
        elapsed = self._stamps[-1] - self._stamps[0]
        gaps = len(self._stamps) - 1
        silence = self._clock() - self._stamps[-1]
        if elapsed <= 0 or silence > max(_SILENCE_S, _SILENCE_GAPS * elapsed / gaps):
            return 0.0
        return gaps / elapsed


@dataclass(frozen=True, slots=True)
class Latency:
    """How old frames were, from their capture to where they are counted."""

    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    """Of the last frames, like the percentiles."""
    counts: tuple[int, ...] = (0,) * len(LATENCY_BOUNDS_MS)
    """How many frames of the whole run were at most as old as each bound, cumulative.
    """
    count: int = 0
    """Frames of the whole run."""
    sum_ms: float = 0.0
    """Of the whole run."""


class LatencyMeter:
    """Percentiles of the last `window` latencies, and counts of all of them."""

    def __init__(self, window: int = 600) -> None:
        self._samples: deque[float] = deque(maxlen=window)
        self._counts = [0] * len(LATENCY_BOUNDS_MS)
        self._count = 0
        self._sum_ms = 0.0

    def add(self, latency_ms: float) -> None:
        self._samples.append(latency_ms)
        self._count += 1
        self._sum_ms += latency_ms
        place = bisect_left(LATENCY_BOUNDS_MS, latency_ms)
        if place < len(self._counts):
            self._counts[place] += 1

    def latency(self) -> Latency:
        """The figures now; percentiles by nearest rank, 0.0 without samples."""
        ordered = sorted(self._samples)

        def percentile(q: float) -> float:
            if not ordered:
                return 0.0
            return ordered[min(len(ordered) - 1, int(q / 100 * len(ordered)))]

        return Latency(
            p50_ms=percentile(50),
            p95_ms=percentile(95),
            p99_ms=percentile(99),
            max_ms=ordered[-1] if ordered else 0.0,
            counts=tuple(accumulate(self._counts)),
            count=self._count,
            sum_ms=self._sum_ms,
        )


@dataclass(frozen=True, slots=True)
class OutputStats:
    """How one output of a pipeline fares."""

    name: str
    """Its target, without credentials."""
    frames: int = 0
    """Written so far, held pictures too."""
    dropped: int = 0
    """Not written, because it was slow or away."""
    queued: int = 0
    """Frames that wait for it now."""
    reconnects: int = 0
    error: str = ""
    """Why it is away or has ended; empty while it works."""
    latency: Latency = field(default_factory=Latency)


@dataclass(slots=True)
class Stats:
    """A snapshot of a pipeline, given to `on_stats` and returned by `run`."""

    frames_in: int = 0
    frames_out: int = 0
    """Written by the first output."""
    drops: dict[str, int] = field(default_factory=dict[str, int])
    """Frames that the source gave and that were not written, by cause: `denoising` and
    `writing` were too slow, `load` was shed."""
    fps_in: float = 0.0
    fps_out: float = 0.0
    latency: Latency = field(default_factory=Latency)
    """Of the first output."""
    sigma: float = 0.0
    """Noise level in 8-bit levels of RGB, told or estimated."""
    strength: float = 1.0
    """Factor on the noise level that the denoiser works with."""
    psnr_in_db: float | None = None
    psnr_out_db: float | None = None
    psnr_is_estimate: bool = True
    """False when the PSNR is measured against a reference (DESIGN: honest PSNR)."""
    elapsed_s: float = 0.0
    frame_age_s: float = 0.0
    """Since the source gave its last frame, or since the start."""
    reconnects: int = 0
    """How often the source was lost and came back."""
    source_error: str = ""
    """Why the source is away; empty while it gives frames."""
    load_step: str = ""
    """What was switched off to keep up; empty when nothing is."""
    outputs: tuple[OutputStats, ...] = ()
    notes: list[str] = field(default_factory=list[str])

    @property
    def dropped(self) -> int:
        """Frames that the source gave and that were not written."""
        return sum(self.drops.values())


def stats_items(stats: Stats) -> tuple[str, ...]:
    """The figures of a running pipeline as short pieces of text.

    A PSNR that was not measured against a reference is marked ``est.``.
    """
    items = [
        f"in {stats.fps_in:.1f} out {stats.fps_out:.1f} fps",
        f"latency {stats.latency.p50_ms:.0f}/{stats.latency.p99_ms:.0f} ms p50/p99",
        f"dropped {stats.dropped}",
        f"sigma {stats.sigma:.1f}",
        f"strength {stats.strength:.2f}",
    ]
    if stats.psnr_in_db is not None and stats.psnr_out_db is not None:
        label = "est. PSNR" if stats.psnr_is_estimate else "PSNR"
        items.append(f"{label} {stats.psnr_in_db:.1f} -> {stats.psnr_out_db:.1f} dB")
    return tuple(items)
