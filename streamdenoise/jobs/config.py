"""The options of each job, one dataclass a job.

They hold plain values: nothing here opens, loads or imports anything heavy.
"""

import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import ConfigError
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.io.options import (
    IMAGE_SUFFIXES,
    VIDEO_OUTPUTS,
    EncoderOptions,
    FilterOptions,
    Hwaccel,
    NetworkOptions,
    Reconnect,
    Sandbox,
    Transport,
)
from streamdenoise.options import Argument, Option, Panel
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.units import parse_rate, parse_size, parse_time


class View(StrEnum):
    """Combination of the frames before and after denoising."""

    CLEAN = "clean"
    """The denoised frame alone."""
    SPLIT = "split"
    """The left half before, the right half after."""
    SIDE = "side"
    """Double width: before on the left, after on the right."""
    GRID = "grid"
    """Double width and height: original and noisy above denoised and error."""


class PagesAs(StrEnum):
    """What the pictures of one file are to each other."""

    AUTO = "auto"
    """Animations and cine are video, pages are images."""
    VIDEO = "video"
    """Frames, each denoised with those before it."""
    IMAGE = "image"
    """Images, each denoised alone."""


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
Compare = Annotated[
    View | None,
    Option(
        "Write before and after into one frame: side, split, or grid, which has "
        "original, noisy, denoised and error.",
        Panel.OUTPUT,
    ),
]
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
        "Clean version of the input, to measure what is gained.",
        Panel.NOISE,
        metavar="PATH",
    ),
]
AddNoise = Annotated[
    AddedNoise | None,
    Option(
        "Add noise first, to measure what is gained: white of a level such as 25, "
        "poisson:30 (photons of white), salt-pepper:0.05 (share of pixels), or "
        "speckle:0.1 (share of brightness).",
        Panel.NOISE,
        parse=AddedNoise.parse,
        metavar="LEVEL|KIND:LEVEL",
    ),
]


def _parse_stream(text: str) -> str:
    """`all`, `none` or the number of a stream.

    Raises:
        ConfigError: It is none of these.
    """
    if text in ("all", "none") or (text.isdecimal() and len(text) < 6):
        return text
    raise ConfigError(
        f"{text} cannot be used; give all, none, or the number of a stream, as ffprobe "
        "shows it"
    )


Audio = Annotated[
    str,
    Option(
        "Sound to keep: all, none, or the number of a stream.",
        Panel.INPUT,
        parse=_parse_stream,
        metavar="WHICH",
    ),
]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Which streams of the input are read, and how fast a raw one is."""

    stream: Annotated[
        int | None,
        Option(
            "Number of the video to denoise, as ffprobe shows it; by default the one "
            "marked as default, else the largest.",
            Panel.INPUT,
        ),
    ] = None
    audio: Audio = "all"
    subtitles: Annotated[
        str,
        Option(
            "Subtitles to keep: all, none, or the number of a stream.",
            Panel.INPUT,
            parse=_parse_stream,
            metavar="WHICH",
        ),
    ] = "all"
    input_rate: Annotated[
        Fraction | None,
        Option(
            "Frames a second of a raw stream, or of images such as img_%04d.png, which "
            "do not say so.",
            Panel.INPUT,
            "--input-rate",
            "--framerate",
            parse=parse_rate,
            metavar="RATE",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class FileConfig:
    """The file job: one video in, one video out."""

    # Addresses hold passwords: no config shows them when it is printed.
    source: Annotated[
        str,
        Argument(
            "Video file, or images such as img_%04d.png; - reads from stdin.", "IN"
        ),
    ] = field(repr=False)
    output: Output = field(repr=False)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    streams: StreamOptions = field(default_factory=StreamOptions)
    filters: FilterOptions = field(default_factory=FilterOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
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
    compare: Compare = None
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
    sandbox: Sandbox = False

    def __post_init__(self) -> None:
        _check_span(self.start_s, self.duration_s)
        self.encoder.for_output(self.target)
        _check_compare(self.compare, self.reference, self.add_noise)

    @property
    def target(self) -> str:
        """The output, which in a folder is named like the input."""
        return _in_folder(self.output, self.source)


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
    filters: FilterOptions = field(default_factory=FilterOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
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
    audio: Audio = "all"
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
            "Delete this job's oldest segments beyond an age or total size, such as "
            "7d or 50GB, or to keep space free, such as 10%free; may be repeated.",
            Panel.RECORDING,
            metavar="AGE|SIZE|FREE",
        ),
    ] = ()
    adopt: Annotated[
        bool,
        Option(
            "Let --keep also delete segments with such names that earlier versions, "
            "or jobs that do not run, have recorded.",
            Panel.RECORDING,
        ),
    ] = False
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
    status_hosts: Annotated[
        tuple[str, ...],
        Option(
            "Name by which clients reach --status, such as camera-box.local; may be "
            "repeated.",
            Panel.MONITORING,
            "--status-host",
            metavar="NAME",
        ),
    ] = ()
    """Names besides localhost and the address that a client connects to."""
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
        _check_grid("--view", self.view, self.reference, self.add_noise)
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
        for name in self.status_hosts:
            if not re.fullmatch(r"[\w.-]+|\[[\da-fA-F:.]+\]", name):
                raise ConfigError(
                    f"--status-host {name!r} cannot be used; give a name or an address "
                    "alone, such as camera-box.local or [fd00::5]"
                )
        if self.status_hosts and self.status is None:
            raise ConfigError(
                "--status-host names this machine for --status; add --status HOST:PORT"
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
        if self.adopt and not self.keep:
            raise ConfigError("--adopt is for --keep; add a limit, such as --keep 7d")


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The image job: images, or folders of images, denoised independently."""

    sources: Annotated[
        tuple[str, ...], Argument("Images, folders, or names with %04d.", "IN")
    ]
    output: Annotated[
        str,
        Option(
            "File for one image; folder, or name with %04d, for several.",
            Panel.OUTPUT,
            "-o",
            "--output",
            metavar="PATH",
        ),
    ]
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    recursive: Annotated[
        bool,
        Option("Take the folders inside of folders, too.", Panel.INPUT),
    ] = False
    pages_as: Annotated[
        PagesAs,
        Option(
            "How to denoise a file of several pictures: as video, or each image alone; "
            "auto takes animations as video and pages as images.",
            Panel.INPUT,
            "--as",
        ),
    ] = PagesAs.AUTO
    scale: Annotated[
        tuple[int, int] | None,
        Option(
            "Scale to this size first, such as 256x256.",
            Panel.INPUT,
            parse=parse_size,
            metavar="WxH",
        ),
    ] = None
    gray: Annotated[bool, Option("Make gray of color first.", Panel.INPUT)] = False
    compare: Compare = None
    overwrite: Overwrite = False
    reference: Reference = field(default=None, repr=False)
    add_noise: AddNoise = None
    sandbox: Sandbox = False

    def __post_init__(self) -> None:
        _check_compare(self.compare, self.reference, self.add_noise)


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


def _in_folder(output: str, source: str) -> str:
    """The output file; in a folder it is named like the input.

    Raises:
        ConfigError: The output is a folder, and the input has no name.
    """
    if not (output.endswith(("/", "\\")) or os.path.isdir(output)):
        return output
    if source == "-" or ":" in source.partition("/")[0] or source.startswith("testsrc"):
        raise ConfigError(
            f"-o {output} is a folder, but the input has no file name to use in it; "
            "give a file name"
        )
    name = Path(source)
    if name.suffix.lower() not in (*IMAGE_SUFFIXES, *VIDEO_OUTPUTS):
        name = name.with_suffix(".mkv")
    return str(Path(output) / name.name)


def _check_compare(
    compare: View | None, reference: str | None, add_noise: AddedNoise | None
) -> None:
    if compare is View.CLEAN:
        raise ConfigError("--compare clean compares nothing; use side, split or grid")
    _check_grid("--compare", compare, reference, add_noise)


def _check_grid(
    option: str,
    view: View | None,
    reference: str | None,
    add_noise: AddedNoise | None,
) -> None:
    if view is View.GRID and reference is None and add_noise is None:
        raise ConfigError(
            f"{option} grid shows the original, too; give it with --reference PATH, or "
            "add noise to a clean input with --add-noise 25"
        )


def _check_span(start_s: float, duration_s: float | None) -> None:
    if start_s < 0:
        raise ConfigError(f"--start {start_s:g} is before the beginning; use 0 or more")
    if duration_s is not None and duration_s <= 0:
        raise ConfigError(f"--duration {duration_s:g} leaves nothing; use more than 0")
