"""What the service says about its cameras, and what it can be asked to change."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from streamdenoise.denoisers.options import MAX_STRENGTH


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraStatus(StrEnum):
    """Whether a camera delivers video."""

    STARTING = "starting"
    LIVE = "live"
    LOST = "lost"
    """It was live, and is being reconnected."""
    FAILED = "failed"
    """Its options or its outputs cannot be used; it is retried more and more rarely."""
    OFF = "off"
    """Switched off in the configuration or on the page."""


class OutputState(_Model):
    """An output of a camera."""

    name: str
    """Target, without credentials."""
    frames: int
    dropped: int
    error: str
    """Why it is away; empty while it works."""


class CameraState(_Model):
    """Everything that is known about a camera at one moment."""

    name: str
    """As in the configuration: unique; letters, digits, ``-`` and ``_``."""
    title: str
    """To show to people."""
    source: str
    """Address, without credentials."""
    status: CameraStatus
    reason: str
    """Why it is not live, in one sentence; empty while it is."""
    width: int
    """Of its frames in pixels; 0 until they are known."""
    height: int
    fps_in: float
    fps_out: float
    latency_ms: float
    """Median age of a frame when it is written."""
    latency_p99_ms: float
    noise: str
    """The noise profile in words, such as ``fine 3, coarse 7``."""
    sigma_now: float
    """Noise level given or estimated, in 8-bit levels of RGB."""
    psnr_gain_db: float | None
    """Estimated gain; None until it is known."""
    saved_share: float | None
    """Share of the source's bit rate that the first output saves; None if unknown."""
    strength: float
    sigma: str
    """As configured or chosen: ``auto``, or a level of the noise."""
    model: str
    """As configured or chosen."""
    used_model: str
    """What ``auto`` took, and on which backend; empty until it is loaded."""
    load_step: str
    """The reduction that is active to keep up; empty at full quality."""
    frames_in: int
    frames_out: int
    dropped: int
    reconnects: int
    recording: bool
    """Whether `record now` is on."""
    outputs: tuple[OutputState, ...]
    worker: int
    """Process id of its worker; 0 while it has none."""
    restarts: int
    """Times that its worker was replaced."""


class CameraChange(_Model):
    """Settings of a camera to change; what is None stays."""

    enabled: bool | None = None
    strength: Annotated[float, Field(ge=0, le=MAX_STRENGTH)] | None = None
    sigma: Annotated[str, Field(max_length=16)] | None = None
    """``auto``, or a level from 0 to 100."""
    model: Annotated[str, Field(max_length=64)] | None = None
    recording: bool | None = None


class Point(_Model):
    """Figures of a camera over a few seconds, for plots."""

    time: float
    """Seconds since the epoch."""
    fps: float
    latency_ms: float
    sigma: float
    psnr_gain_db: float | None


class Event(_Model):
    """Something that happened to a camera or to the service."""

    time: float
    """Seconds since the epoch."""
    camera: str
    """Its name; empty for the service itself."""
    kind: str
    """``lost``, ``back``, ``load``, ``disk``, ``worker``, ``config``, ``output``..."""
    text: str
    """One sentence for people, without credentials."""


class Recording(_Model):
    """A recorded file of a camera."""

    id: str
    """Names it in the API: its path below the camera's folder."""
    time: float
    """When it began, in seconds since the epoch."""
    size_bytes: int
    playable: bool
    """Whether browsers play its container."""
