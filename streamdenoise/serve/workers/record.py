"""What the supervisor knows about one camera."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamdenoise.imaging.noise_words import noise_words
from streamdenoise.pipeline.stats import Stats
from streamdenoise.security.masking import mask_address, mask_credentials
from streamdenoise.serve.config.camera import CameraConfig
from streamdenoise.serve.config.file import CameraTable
from streamdenoise.serve.recordings import Recordings
from streamdenoise.serve.states import CameraState, CameraStatus, OutputState, Point
from streamdenoise.serve.workers.job import STATS
from streamdenoise.serve.workers.process import WorkerProcess
from streamdenoise.serve.workers.settings import Settings
from streamdenoise.service.health import why_unhealthy

POINT_S = 5.0
"""Time between two points of the history."""
_HISTORY_S = 3600
_DEATHS_S = 600.0
"""Deaths of workers this long ago are forgotten."""
ALONE_AFTER = 2
"""Deaths, after which a camera runs in a worker of its own."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0

_SIZES_S, _MOST_SIZES = 5.0, 13
"""The bit rates are those of the last minute."""


@dataclass(slots=True)
class Backoff:
    """Waits longer after each failure."""

    failures: int = 0
    ready_at: float = 0.0
    """Of the monotonic clock."""

    def fail(self, now: float) -> float:
        """Note a failure; returns how long to wait, in seconds."""
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(self.failures, 10))
        self.failures += 1
        self.ready_at = now + wait_s
        return wait_s

    def succeed(self) -> None:
        self.failures, self.ready_at = 0, 0.0


@dataclass(slots=True)
class CameraRecord:
    """A camera of the configuration, and how it is."""

    entry: CameraTable
    settings: Settings = field(default_factory=Settings)
    recordings: Recordings = field(init=False)
    worker: WorkerProcess | None = None
    """The process that has its job; None without a job."""
    stops: bool = False
    """Whether its job was asked to stop."""
    backoff: Backoff = field(default_factory=Backoff)
    refused: bool = False
    """Whether a password was wrong: only a change helps."""
    reason: str = ""
    """Why it has no job, though it should."""
    deaths: deque[float] = field(default_factory=lambda: deque[float](maxlen=16))
    """When workers with this camera have ended by themselves."""
    restarts: int = 0
    was_live: bool = False
    live_since: float | None = None
    stats: Stats | None = None
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    history: deque[Point] = field(
        default_factory=lambda: deque[Point](maxlen=round(_HISTORY_S / POINT_S))
    )

    sizes: deque[tuple[float, int, int]] = field(
        default_factory=lambda: deque[tuple[float, int, int]](maxlen=_MOST_SIZES)
    )
    """When, and bytes of video received and written until then."""

    def __post_init__(self) -> None:
        self.recordings = Recordings(self.name, self.config)

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def config(self) -> CameraConfig:
        return self.entry.config

    @property
    def is_enabled(self) -> bool:
        chosen = self.settings.enabled
        return self.config.enabled if chosen is None else chosen

    def is_ready(self, now: float) -> bool:
        """Whether it should get a job now."""
        is_free = self.worker is None and self.is_enabled and not self.refused
        return is_free and now >= self.backoff.ready_at

    def needs_own_worker(self, now: float) -> bool:
        """Whether it was there too often when a worker died, or did it itself."""
        while self.deaths and now - self.deaths[0] > _DEATHS_S:
            self.deaths.popleft()
        return len(self.deaths) >= ALONE_AFTER

    def begin(self, worker: WorkerProcess) -> None:
        """It gets a job there."""
        self.worker, self.stops, self.reason = worker, False, ""
        self.stats, self.report = None, {}

    def end(self, reason: str = "") -> None:
        """It has no job any more."""
        self.worker, self.stops, self.reason = None, False, reason
        self.stats, self.live_since = None, None

    def reset(self) -> None:
        """Its table has changed: nothing of the past counts any more."""
        self.settings, self.backoff = Settings(), Backoff()
        self.refused, self.reason, self.was_live = False, "", False
        self.deaths.clear()
        self.recordings = Recordings(self.name, self.config)

    @property
    def is_recording(self) -> bool:
        """Whether a recording that was started by hand is being written."""
        return self.worker is not None and bool(self.report.get("recording"))

    def update(self, report: dict[str, Any], now: float) -> None:
        """Take in what its worker says about it."""
        self.report = report
        if report["stats"] is not None:
            self.stats = STATS.validate_python(report["stats"])
            self._remember_sizes(self.stats, now)
        if self.status is CameraStatus.LIVE:
            self.was_live = True
            self.live_since = self.live_since or now
        else:
            self.live_since = None

    @property
    def status(self) -> CameraStatus:
        if not self.is_enabled:
            return CameraStatus.OFF
        if self.worker is None:
            waits = self.reason or self.refused
            return CameraStatus.FAILED if waits else CameraStatus.STARTING
        stats = self.stats
        if stats is not None and stats.source_error:
            return CameraStatus.LOST if self.was_live else CameraStatus.STARTING
        if stats is None or not stats.frames_in:
            return CameraStatus.STARTING
        return CameraStatus.LIVE

    def _remember_sizes(self, stats: Stats, now: float) -> None:
        written = stats.outputs[0].bytes if stats.outputs else 0
        sizes = self.sizes
        if sizes and (stats.bytes_in < sizes[-1][1] or written < sizes[-1][2]):
            sizes.clear()  # another job
        if not sizes or now - sizes[-1][0] >= _SIZES_S:
            sizes.append((now, stats.bytes_in, written))

    @property
    def saved_share(self) -> float | None:
        """Share of the source's bit rate that the first output saves."""
        if len(self.sizes) < 2:
            return None
        (_, received_0, written_0), (_, received_1, written_1) = (
            self.sizes[0],
            self.sizes[-1],
        )
        received, written = received_1 - received_0, written_1 - written_0
        return 1 - written / received if received and written else None

    @property
    def has_failed(self) -> bool:
        return self.status is CameraStatus.FAILED

    @property
    def unhealthy(self) -> str:
        """See `why_unhealthy`; a camera that is switched off is healthy."""
        if not self.is_enabled:
            return ""
        if self.worker is None:
            return self.reason or "starting"
        if self.stats is None:
            return "starting"
        stall_s = max(5.0, self.config.live.timeout_s)
        return why_unhealthy(self.stats, 0.0, stall_s)

    @property
    def source(self) -> str:
        """Address, without credentials."""
        return mask_address(self.config.live.source)

    def state(self) -> CameraState:
        stats, report = self.stats or Stats(), self.report
        config = self.settings.applied(self.config.live)
        sigma, status = config.denoise.sigma, self.status
        gain = None
        if stats.psnr_in_db is not None and stats.psnr_out_db is not None:
            gain = stats.psnr_out_db - stats.psnr_in_db
        has_job = self.worker is not None
        return CameraState(
            name=self.name,
            title=self.config.title or self.name,
            source=self.source,
            status=status,
            reason=mask_credentials(
                "" if status is CameraStatus.OFF else self.unhealthy
            ),
            width=report.get("width", 0),
            height=report.get("height", 0),
            fps_in=stats.fps_in,
            fps_out=stats.fps_out,
            latency_ms=stats.latency.p50_ms,
            latency_p99_ms=stats.latency.p99_ms,
            noise=noise_words(stats.noise_levels),
            sigma_now=stats.sigma,
            psnr_gain_db=gain,
            saved_share=self.saved_share,
            strength=config.denoise.strength,
            sigma=sigma if isinstance(sigma, str) else f"{sigma:g}",
            model=config.denoise.model,
            used_model=report.get("used_model", "") if has_job else "",
            load_step=stats.load_step,
            frames_in=stats.frames_in,
            frames_out=stats.frames_out,
            dropped=stats.dropped,
            reconnects=stats.reconnects,
            recording=self.is_recording,
            outputs=tuple(
                OutputState(
                    name=output.name,
                    frames=output.frames,
                    dropped=output.dropped,
                    error=mask_credentials(output.error),
                )
                for output in stats.outputs
            ),
            worker=self.worker.pid if self.worker is not None else 0,
            restarts=self.restarts,
        )

    def remember(self, clock: Callable[[], float] = time.time) -> None:
        """Add a point to the history while it is live."""
        if self.stats is not None and self.status is CameraStatus.LIVE:
            state = self.state()
            self.history.append(
                Point(
                    time=clock(),
                    fps=state.fps_out,
                    latency_ms=state.latency_ms,
                    sigma=state.sigma_now,
                    psnr_gain_db=state.psnr_gain_db,
                )
            )
