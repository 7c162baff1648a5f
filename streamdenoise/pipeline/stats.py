"""Figures of a running pipeline: rates, latency, drops, noise and PSNR."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from streamdenoise.imaging.metrics import Scores
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.imaging.noise_words import noise_words

LATENCY_BOUNDS_MS = (
    *(5.0, 10.0, 20.0, 33.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0),
    *(500.0, 750.0, 1000.0, 2000.0, 5000.0, 10000.0),
)
"""Upper bounds of the histogram of latencies."""

_SILENCE_S, _SILENCE_GAPS = 2.0, 3
"""After a silence this long, and this many times the usual gap, the rate is 0."""


class RateMeter:
    """Frames per second, from the gaps between the last `window` frames."""

    def __init__(
        self, window: int = 60, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stamps: deque[float] = deque(maxlen=window + 1)
        self._clock = clock

    def tick(self) -> None:
        """Count a frame now."""
        self._stamps.append(self._clock())

    @property
    def fps(self) -> float:
        """Rate in Hz; 0.0 before the second frame, and some time after the last."""
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
    """Ages of frames, from capture to the place where they are counted."""

    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    """Maximum over the last frames, like the percentiles."""
    counts: tuple[int, ...] = (0,) * len(LATENCY_BOUNDS_MS)
    """Frames of the whole run that were at most as old as each of `LATENCY_BOUNDS_MS`.
    """
    count: int = 0
    """All frames of the run."""
    sum_ms: float = 0.0
    """Sum of the ages of all frames."""


class LatencyMeter:
    """Collects latencies: percentiles of the last `window`, and counts of all."""

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


_ESTIMATE_ERROR_DB = 1.2


@dataclass(frozen=True, slots=True)
class OutputStats:
    """The figures of one output."""

    name: str
    """Target, without credentials."""
    frames: int = 0
    """Frames written so far, held ones included."""
    dropped: int = 0
    """Frames not written because the output was slow or away."""
    queued: int = 0
    """Frames in its queue now."""
    bytes: int = 0
    """Size of the video that was encoded for it; 0 if it takes frames as they are."""
    reconnects: int = 0
    error: str = ""
    """Why the output is away, hangs or has ended; empty while it works."""
    hangs: bool = False
    """Whether it has had frames for a while and finished none, see `Stage`."""
    latency: Latency = field(default_factory=Latency)


@dataclass(slots=True)
class Stats:
    """A snapshot of a pipeline, passed to `on_stats` and returned by `run`."""

    frames_in: int = 0
    frames_out: int = 0
    """Written by the first output."""
    drops: dict[str, int] = field(default_factory=dict[str, int])
    """Frames of the source that were not written, by cause: `denoising` or `writing`
    was too slow, or they were left out to shed `load`."""
    bytes_in: int = 0
    """Size of the video's packets from the source; 0 if they are not compressed."""
    fps_in: float = 0.0
    fps_out: float = 0.0
    latency: Latency = field(default_factory=Latency)
    """Latency of the first output."""
    sigma: float = 0.0
    """Noise level in 8-bit levels of RGB, given or estimated."""
    noise_levels: tuple[float, ...] = (0.0,) * len(LEVELS)
    """The noise profile: one for each of `LEVELS`, in 8-bit levels of RGB."""
    strength: float = 1.0
    """How strongly noise is removed; 1 is neutral."""
    psnr_in_db: float | None = None
    psnr_out_db: float | None = None
    psnr_is_estimate: bool = True
    """False if the PSNR is measured against a reference."""
    scores: Scores | None = None
    """What is measured against a reference; None without one."""
    elapsed_s: float = 0.0
    frame_age_s: float = 0.0
    """Time since the last frame of the source, or since the start."""
    reconnects: int = 0
    """Number of times that the source was lost and came back."""
    source_error: str = ""
    """Why the source is away; empty while frames arrive."""
    denoiser_error: str = ""
    """That the denoiser hangs; empty while it works."""
    load_step: str = ""
    """The reduction that is active to keep up; empty at full quality."""
    outputs: tuple[OutputStats, ...] = ()
    notes: list[str] = field(default_factory=list[str])

    @property
    def psnr_error_db(self) -> float:
        """Mean error of an estimated gain; 0 if it is measured or nothing is gained.

        Measured on eight clips with eight kinds of noise.
        """
        before, after = self.psnr_in_db or 0.0, self.psnr_out_db or 0.0
        return _ESTIMATE_ERROR_DB if self.psnr_is_estimate and after > before else 0.0

    @property
    def dropped(self) -> int:
        """Frames of the source that were not written."""
        return sum(self.drops.values())


def stats_items(stats: Stats) -> tuple[str, ...]:
    """The figures of a running pipeline as short texts.

    A PSNR that is not measured against a reference is marked ``est.``.
    """
    items = [
        f"in {stats.fps_in:.1f} out {stats.fps_out:.1f} fps",
        f"latency {stats.latency.p50_ms:.0f}/{stats.latency.p99_ms:.0f} ms p50/p99",
        f"dropped {stats.dropped}",
        noise_words(stats.noise_levels),
        f"strength {stats.strength:.2f}",
    ]
    if stats.psnr_in_db is not None and stats.psnr_out_db is not None:
        before, after = stats.psnr_in_db, stats.psnr_out_db
        if stats.psnr_is_estimate:
            items.append(estimate_words(before, after, stats.psnr_error_db))
        else:
            items.append(f"PSNR {before:.1f} -> {after:.1f} dB")
    return tuple(items)


def estimate_words(before: float, after: float, error: float) -> str:
    """An estimated PSNR before and after, and its error, in dB, as a short text."""
    low, high = round(after - error), round(after + error)
    out = f"{low} to {high}" if low < high else f"{high}"
    return f"est. PSNR {before:.0f} -> {out} dB"
