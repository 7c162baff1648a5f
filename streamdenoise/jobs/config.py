"""What a user may choose, one dataclass a job; the CLI's options are their fields.

Plain values only: nothing here opens, loads or imports anything heavy.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import ConfigError
from streamdenoise.io.options import EncoderConfig, Hwaccel, Reconnect, Transport
from streamdenoise.pipeline.queue import Overflow


class View(StrEnum):
    """Which picture is shown or written."""

    CLEAN = "clean"
    """The denoised picture alone."""
    SPLIT = "split"
    """One picture: left half before, right half after."""
    SIDE = "side"
    """Double width: before on the left, after on the right."""


class OnLoss(StrEnum):
    """What outputs get while a live source is away."""

    HOLD = "hold"
    """The last picture, marked as old, a few times a second."""
    GAP = "gap"
    """Nothing: their timestamps jump."""


@dataclass(frozen=True, slots=True)
class FileConfig:
    """The offline job: one video in, one video out."""

    # Addresses hold passwords: no config shows them when it is printed.
    source: str = field(repr=False)
    output: str = field(repr=False)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    encoder: EncoderConfig | None = None
    """None takes what suits the container."""
    start_s: float = 0.0
    """Skip this much of the input, in seconds."""
    duration_s: float | None = None
    """Stop after this much, in seconds; None goes to the end."""
    compare: View | None = None
    """`side` or `split` writes before and after in one picture."""
    overlay: bool = False
    """Burn the figures into the picture."""
    overwrite: bool = False
    reference: str | None = field(default=None, repr=False)
    """A clean version of the input, frame for frame: PSNR is then measured."""
    add_noise: float | None = None
    """Add white Gaussian noise of this sigma first: PSNR is then measured."""
    hwaccel: Hwaccel = Hwaccel.AUTO

    def __post_init__(self) -> None:
        _check_span(self.start_s, self.duration_s)
        _check_psnr_options(self.reference, self.add_noise)
        if self.compare is View.CLEAN:
            raise ConfigError("--compare clean compares nothing; use side or split")


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """The live job: a camera, stream or paced file to a window and other sinks."""

    source: str = field(repr=False)
    outputs: tuple[str, ...] = field(default=(), repr=False)
    """Files to record to and URLs to publish to, beside the window."""
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    encoder: EncoderConfig | None = None
    """None takes a fast preset of what suits each container."""
    window: bool = True
    overlay: bool = True
    view: View = View.CLEAN
    duration_s: float | None = None
    """Stop after this many seconds of stream; None goes on until it ends."""
    overflow: Overflow | None = None
    """None lets the source decide: live drops, a file blocks."""
    overwrite: bool = False
    reference: str | None = field(default=None, repr=False)
    add_noise: float | None = None
    timeout_s: float = 10.0
    """Longest silence of the source before it counts as lost, in seconds."""
    hwaccel: Hwaccel = Hwaccel.AUTO
    transport: Transport = Transport.AUTO
    reconnect: Reconnect = field(default_factory=Reconnect)
    """Of the source, and of outputs on the network."""
    on_loss: OnLoss = OnLoss.HOLD
    segment_s: float | None = None
    """Length of the files of outputs whose names have the time in them."""
    keep: tuple[str, ...] = ()
    """How long or how much of them stays, such as `7d` or `50GB`."""
    max_lag_ms: float | None = None
    """Do less for a picture while they come out later than this; None never does."""
    status: str | None = None
    """Where to serve metrics, health and status over HTTP: HOST:PORT."""
    credentials_file: str | None = None
    """A netrc file with the passwords of sources and outputs."""

    def __post_init__(self) -> None:
        _check_span(0.0, self.duration_s)
        _check_psnr_options(self.reference, self.add_noise)
        if not self.window and not self.outputs:
            raise ConfigError(
                "--no-window without -o would show the video nowhere; add -o TARGET "
                "(-o 'null:' only measures)"
            )
        if not 0 < self.timeout_s <= 3600:
            raise ConfigError(
                f"--timeout {self.timeout_s:g} cannot be used; give more than 0 to "
                "3600 (seconds)"
            )
        if self.max_lag_ms is not None and not 20 <= self.max_lag_ms <= 60_000:
            raise ConfigError(
                f"--max-lag {self.max_lag_ms:g} cannot be held; use 20 to 60000 (ms)"
            )
        if self.segment_s is not None and not self.segment_s >= 1:
            raise ConfigError(
                f"--segment {self.segment_s:g} is too short; use 1s or more"
            )
        if self.keep and self.segment_s is None:
            raise ConfigError(
                "--keep is for recordings in segments; add --segment 10m and an output "
                "such as clips/%Y-%m-%d_%H-%M-%S.mkv"
            )


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The image job: pictures, or folders of pictures, each denoised by itself."""

    sources: tuple[str, ...]
    output: str
    """A file for one picture, else a folder."""
    denoise: DenoiseConfig = field(default_factory=lambda: DenoiseConfig("nano-rgb"))
    overwrite: bool = False


def _check_span(start_s: float, duration_s: float | None) -> None:
    if start_s < 0:
        raise ConfigError(f"--start {start_s:g} is before the beginning; use 0 or more")
    if duration_s is not None and duration_s <= 0:
        raise ConfigError(f"--duration {duration_s:g} leaves nothing; use more than 0")


def _check_psnr_options(reference: str | None, add_noise: float | None) -> None:
    if reference is not None and add_noise is not None:
        raise ConfigError(
            "--reference and --add-noise both say what clean is; give one of them"
        )
    if add_noise is not None and not 0 < add_noise <= 255:
        raise ConfigError(
            f"--add-noise {add_noise:g} cannot be used; give more than 0 to 255"
        )
