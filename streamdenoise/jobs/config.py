"""The options of each job, one dataclass a job.

They hold plain values: nothing here opens, loads or imports anything heavy.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import ConfigError
from streamdenoise.io.options import EncoderOptions, Hwaccel, Reconnect, Transport
from streamdenoise.options import Argument, Option, Panel
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.units import parse_size, parse_time


class View(StrEnum):
    """Combination of the frames before and after denoising."""

    CLEAN = "clean"
    """The denoised frame alone."""
    SPLIT = "split"
    """The left half before, the right half after."""
    SIDE = "side"
    """Double width: before on the left, after on the right."""


class OnLoss(StrEnum):
    """Output while a live source is away."""

    HOLD = "hold"
    """The last frame, marked as old, a few times a second."""
    GAP = "gap"
    """Nothing: their timestamps jump."""


Output = Annotated[
    str,
    Option(
        "Where to write the video; - writes to stdout.",
        Panel.OUTPUT,
        "-o",
        "--output",
        metavar="OUT",
    ),
]
Overwrite = Annotated[bool, Option("Replace an existing output.", Panel.OUTPUT)]
Duration = Annotated[
    float | None,
    Option(
        "Stop after this much, as seconds or HH:MM:SS.",
        Panel.INPUT,
        "--duration",
        parse=parse_time,
        metavar="TIME",
    ),
]
HwaccelOption = Annotated[
    Hwaccel, Option("Where to decode video; cuda is an NVIDIA GPU.", Panel.HARDWARE)
]
Reference = Annotated[
    str | None,
    Option(
        "Clean version of the input, to measure the true PSNR.",
        Panel.NOISE,
        metavar="PATH",
    ),
]
AddNoise = Annotated[
    float | None,
    Option(
        "Add white noise of this level first, to measure the true PSNR.",
        Panel.NOISE,
        metavar="LEVEL",
    ),
]


@dataclass(frozen=True, slots=True)
class FileConfig:
    """The file job: one video in, one video out."""

    # Addresses hold passwords: no config shows them when it is printed.
    source: Annotated[str, Argument("Video file; - reads from stdin.", "IN")] = field(
        repr=False
    )
    output: Output = field(repr=False)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    start_s: Annotated[
        float,
        Option(
            "Skip this much of the input, as seconds or HH:MM:SS.",
            Panel.INPUT,
            "--start",
            parse=parse_time,
            metavar="TIME",
        ),
    ] = 0.0
    duration_s: Duration = None
    """In seconds; None goes to the end."""
    compare: Annotated[
        View | None,
        Option("Write before and after into one frame: side or split.", Panel.OUTPUT),
    ] = None
    overlay: Annotated[
        bool,
        Option(
            "Draw the frame rate, noise level and PSNR on each frame.", Panel.OUTPUT
        ),
    ] = False
    overwrite: Overwrite = False
    reference: Reference = field(default=None, repr=False)
    add_noise: AddNoise = None
    hwaccel: HwaccelOption = Hwaccel.AUTO

    def __post_init__(self) -> None:
        _check_span(self.start_s, self.duration_s)
        _check_psnr_options(self.reference, self.add_noise)
        self.encoder.for_output(self.output)
        if self.compare is View.CLEAN:
            raise ConfigError("--compare clean compares nothing; use side or split")


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """The live job: a camera, stream or paced file to a window and other outputs."""

    source: Annotated[
        str, Argument("rtsp:// or http:// URL, file, or testsrc:WxH@RATE.", "SOURCE")
    ] = field(default="", repr=False)
    outputs: Annotated[
        tuple[str, ...],
        Option(
            "File, name with %H-%M-%S for segments, rtsp://, rtmp://, srt:// or "
            "udp:// URL, or virtualcam:; may be repeated.",
            Panel.OUTPUT,
            "-o",
            "--output",
            metavar="TARGET",
        ),
    ] = field(default=(), repr=False)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """Unset options are chosen to be fast enough for a live stream."""
    camera: Annotated[
        int | None,
        Option(
            "Camera to open instead of SOURCE; 0 is the first.",
            Panel.INPUT,
            metavar="N",
        ),
    ] = None
    """Becomes the `source` ``camera:N``."""
    window: Annotated[bool, Option("Show a window.", Panel.LIVE)] = True
    overlay: Annotated[
        bool, Option("Draw the frame rate, noise level and PSNR in it.", Panel.LIVE)
    ] = True
    view: Annotated[View, Option("What the window shows.", Panel.LIVE)] = View.CLEAN
    duration_s: Duration = None
    """In seconds of the stream; None continues until it ends."""
    overflow: Annotated[
        Overflow | None,
        Option(
            "What happens when frames arrive too fast; by default live sources drop "
            "the oldest and files wait.",
            Panel.LIVE,
        ),
    ] = None
    overwrite: Overwrite = False
    reference: Reference = field(default=None, repr=False)
    add_noise: AddNoise = None
    timeout_s: Annotated[
        float,
        Option(
            "Seconds without a frame after which the source counts as lost.",
            Panel.INPUT,
            "--timeout",
            metavar="SECONDS",
        ),
    ] = 10.0
    hwaccel: HwaccelOption = Hwaccel.AUTO
    transport: Annotated[
        Transport,
        Option("How RTSP is received; auto tries TCP, then UDP.", Panel.INPUT),
    ] = Transport.AUTO
    reconnect: Annotated[
        Reconnect,
        Option(
            "Consecutive reconnection attempts of sources and outputs. If given, also "
            "applies to the first connection; by default retries forever once "
            "connected.",
            Panel.INPUT,
            parse=Reconnect.parse,
            metavar="N|forever|never",
        ),
    ] = field(default_factory=Reconnect)
    on_loss: Annotated[
        OnLoss,
        Option(
            "While the source is away, outputs hold the last frame or have a gap.",
            Panel.LIVE,
        ),
    ] = OnLoss.HOLD
    segment_s: Annotated[
        float | None,
        Option(
            "Length of recorded segments, such as 10m or 1h.",
            Panel.RECORDING,
            "--segment",
            parse=parse_time,
            metavar="TIME",
        ),
    ] = None
    keep: Annotated[
        tuple[str, ...],
        Option(
            "Delete segments beyond this age or total size, such as 7d or 50GB; may "
            "be repeated.",
            Panel.RECORDING,
            metavar="AGE|SIZE",
        ),
    ] = ()
    max_lag_ms: Annotated[
        float | None,
        Option(
            "Reduce quality while latency exceeds this, in milliseconds.",
            Panel.LIVE,
            "--max-lag",
            metavar="MS",
        ),
    ] = None
    """None never reduces it."""
    wait_for_engine: Annotated[
        bool,
        Option(
            "Build a missing engine before starting, instead of using another backend "
            "meanwhile.",
            Panel.HARDWARE,
        ),
    ] = False
    status: Annotated[
        str | None,
        Option(
            "Serve /metrics, /healthz and /status over HTTP at this address.",
            Panel.MONITORING,
            metavar="HOST:PORT",
        ),
    ] = None
    credentials_file: Annotated[
        str | None,
        Option(
            "File with passwords by host, in .netrc format.",
            Panel.INPUT,
            metavar="FILE",
        ),
    ] = None

    def __post_init__(self) -> None:
        if bool(self.source) == (self.camera is not None):
            raise ConfigError("give either a SOURCE or --camera N, such as --camera 0")
        if self.camera is not None:
            object.__setattr__(self, "source", f"camera:{self.camera}")
            object.__setattr__(self, "camera", None)
        _check_span(0.0, self.duration_s)
        _check_psnr_options(self.reference, self.add_noise)
        self.encoder.for_output(self.outputs[0] if self.outputs else "")
        if not self.window and not self.outputs:
            raise ConfigError(
                "--no-window without -o would show the video nowhere; add -o TARGET "
                "(-o null: only measures)"
            )
        if not 0 < self.timeout_s <= 3600:
            raise ConfigError(
                f"--timeout {self.timeout_s:g} cannot be used; give more than 0 to "
                "3600 (seconds)"
            )
        if self.max_lag_ms is not None and not 20 <= self.max_lag_ms <= 60_000:
            raise ConfigError(
                f"--max-lag {self.max_lag_ms:g} cannot be used; give 20 to 60000 (ms)"
            )
        if self.segment_s is not None and not self.segment_s >= 1:
            raise ConfigError(
                f"--segment {self.segment_s:g} is too short; use 1s or more"
            )
        if self.keep and self.segment_s is None:
            raise ConfigError(
                "--keep applies to recordings in segments; add --segment 10m and an "
                "output such as clips/%Y-%m-%d_%H-%M-%S.mkv"
            )


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The image job: images, or folders of images, denoised independently."""

    sources: Annotated[tuple[str, ...], Argument("Images, or folders.", "IN")]
    output: Annotated[
        str,
        Option(
            "File for one image, or folder for several.",
            Panel.OUTPUT,
            "-o",
            "--output",
            metavar="PATH",
        ),
    ]
    denoise: DenoiseConfig = field(
        default_factory=lambda: DenoiseConfig(model="nano-rgb")
    )
    overwrite: Overwrite = False


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """The export job: a checkpoint becomes a model."""

    checkpoint: Annotated[Path, Argument("A .safetensors file.", "CHECKPOINT")]
    output: Annotated[
        Path, Option("Folder of the model.", Panel.OUTPUT, "-o", "--output")
    ] = Path("engines")
    calibration: Annotated[
        Path | None,
        Option(
            "Folder of clean clips to calibrate INT8 with; without it there is no INT8 "
            "model.",
            Panel.INPUT,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class CompileConfig:
    """The compile job: a model becomes an engine for one frame size."""

    model: Annotated[str, Argument("Name of a model, or path of its .json.", "MODEL")]
    size: Annotated[
        tuple[int, int] | None,
        Option(
            "Frame size: 720p, 1080p, 2160p, or WIDTHxHEIGHT.",
            Panel.ENGINE,
            parse=parse_size,
            metavar="SIZE",
        ),
    ] = None
    """Width and height in pixels."""
    precision: Annotated[
        str | None,
        Option("fp32, fp16 or int8; by default the backend decides.", Panel.ENGINE),
    ] = None
    depth: Annotated[int, Option("Bits per sample: 8 or 10.", Panel.ENGINE)] = 8
    dynamic: Annotated[
        bool, Option("Build one engine for all sizes up to --size.", Panel.ENGINE)
    ] = False
    version_compatible: Annotated[
        bool,
        Option(
            "Build for later versions of the runtime too, up to the next major one.",
            Panel.ENGINE,
        ),
    ] = False
    hardware_compatible: Annotated[
        bool, Option("Build for other GPUs too, from Ampere (8.0) on.", Panel.ENGINE)
    ] = False
    compute_capabilities: Annotated[
        tuple[str, ...],
        Option(
            "GPU to build for, such as 8.6; may be repeated.",
            Panel.ENGINE,
            "--compute-capability",
            metavar="X.Y",
        ),
    ] = ()
    backend: Annotated[
        str,
        Option(
            "Runtime to build for; auto takes the first that builds engines here.",
            Panel.HARDWARE,
        ),
    ] = "auto"


def _check_span(start_s: float, duration_s: float | None) -> None:
    if start_s < 0:
        raise ConfigError(f"--start {start_s:g} is before the beginning; use 0 or more")
    if duration_s is not None and duration_s <= 0:
        raise ConfigError(f"--duration {duration_s:g} leaves nothing; use more than 0")


def _check_psnr_options(reference: str | None, add_noise: float | None) -> None:
    if reference is not None and add_noise is not None:
        raise ConfigError(
            "--reference and --add-noise both define what clean is; give one of them"
        )
    if add_noise is not None and not 0 < add_noise <= 255:
        raise ConfigError(
            f"--add-noise {add_noise:g} cannot be used; give more than 0 to 255"
        )
