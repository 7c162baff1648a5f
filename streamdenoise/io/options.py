"""Options of sources and sinks."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

from streamdenoise.errors import ConfigError
from streamdenoise.imaging.planar import planar_format
from streamdenoise.options import Option, Panel
from streamdenoise.units import (
    Region,
    parse_rate,
    parse_region,
    parse_regions,
    parse_size,
)

if TYPE_CHECKING:
    from streamdenoise.frame import StreamInfo  # has NumPy, which takes long to load

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"),
    *(".gif", ".apng", ".jfif", ".dcm", ".dicom"),
)
"""Files of pictures, to read and to write."""

VIDEO_OUTPUTS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".y4m")
"""Files of video to write."""

ORIENTED_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
"""Containers that hold a rotation of their frames."""

NVENC_CODECS = ("h264_nvenc", "hevc_nvenc")
"""Encoders of NVIDIA GPUs, by FFmpeg's names."""

NVENC_PRESETS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")

CODECS = (
    *("x264", "x264rgb", "x265", "svtav1", "vp9", "ffv1", "prores", "dnxhr"),
    *NVENC_CODECS,
    "copy-settings",
)
"""Video encoders by their usual names; `copy-settings` uses the input's codec."""

_DEEP = 10
"""Bits from which H.264 is played by few devices."""


class Hwaccel(StrEnum):
    """Device that decodes video; the frames are the same."""

    AUTO = "auto"
    """On an NVIDIA GPU if possible, otherwise in software without a note."""
    NONE = "none"
    """In software; no GPU is used."""
    CUDA = "cuda"
    """On an NVIDIA GPU; if that fails, in software with a note that says why."""


Sandbox = Annotated[
    bool,
    Option(
        "Decode files that you do not trust in a process with limits, without network "
        "and without your other files; sound is left out.",
        Panel.INPUT,
    ),
]


class Transport(StrEnum):
    """Transport of RTSP packets."""

    AUTO = "auto"
    """Over TCP, or over UDP if the server offers no TCP."""
    TCP = "tcp"
    UDP = "udp"


class Deinterlace(StrEnum):
    """How interlaced video becomes whole frames."""

    AUTO = "auto"
    """By FFmpeg's bwdif where the video is flagged as interlaced."""
    BWDIF = "bwdif"
    """By bwdif in every frame, flagged or not."""
    OFF = "off"
    """Not at all."""


ROTATIONS = (0, 90, 180, 270)
"""Degrees by which frames can be turned."""


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """Changes of the frames before they are denoised."""

    deinterlace: Annotated[
        Deinterlace,
        Option(
            "Make whole frames of interlaced video: auto if it is flagged so, bwdif "
            "always, or off.",
            Panel.INPUT,
        ),
    ] = Deinterlace.AUTO
    rotate: Annotated[
        int,
        Option(
            "Turn the frames clockwise first, by 90, 180 or 270 degrees.",
            Panel.INPUT,
            metavar="DEGREES",
        ),
    ] = 0
    masks: Annotated[
        tuple[Region, ...],
        Option(
            "Black out this part, as X,Y,W,H in pixels; may be repeated.",
            Panel.INPUT,
            "--mask",
            parse=parse_regions,
            repeats=True,
            metavar="X,Y,W,H",
        ),
    ] = ()
    crop: Annotated[
        Region | None,
        Option(
            "Keep only this part, as X,Y,W,H in pixels.",
            Panel.INPUT,
            parse=parse_region,
            metavar="X,Y,W,H",
        ),
    ] = None
    scale: Annotated[
        tuple[int, int] | None,
        Option(
            "Scale to this size first, such as 1280x720.",
            Panel.INPUT,
            parse=parse_size,
            metavar="WxH",
        ),
    ] = None
    fps: Annotated[
        Fraction | None,
        Option(
            "Repeat or drop frames to get this rate.",
            Panel.INPUT,
            parse=parse_rate,
            metavar="RATE",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.rotate not in ROTATIONS:
            raise ConfigError(
                f"--rotate {self.rotate} cannot be used; give 0, 90, 180 or 270"
            )

    @property
    def is_used(self) -> bool:
        """Whether anything is asked for."""
        return self.changes or self.deinterlace is Deinterlace.BWDIF

    @property
    def changes(self) -> bool:
        """Whether frames change in size, place or rate."""
        return bool(self.rotate or self.masks or self.crop or self.scale or self.fps)


_FINGERPRINT = re.compile(r"(?:(?P<host>[^=\s]+)=)?(?P<digest>[0-9a-fA-F]{64})")


def parse_fingerprints(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of a host, empty for all, and a fingerprint in lower case, without colons.

    Raises:
        ConfigError: One is not a SHA-256 fingerprint.
    """
    pins: list[tuple[str, str]] = []
    for text in texts:
        host, mark, digest = text.rpartition("=")
        if host.lower() == "sha256 fingerprint":  # as openssl prints it
            host = mark = ""
        plain = digest.lower().removeprefix("sha256:").replace(":", "")
        match = _FINGERPRINT.fullmatch(f"{host}{mark}{plain}")
        if match is None:
            raise ConfigError(
                f"--tls-fingerprint {text} is not a SHA-256 fingerprint; give its 64 "
                "hexadecimal digits, as openssl x509 -fingerprint -sha256 shows them"
            )
        pins.append(((match["host"] or "").lower(), match["digest"]))
    return tuple(pins)


def parse_variables(texts: list[str]) -> tuple[str, ...]:
    """Names of environment variables.

    Raises:
        ConfigError: One cannot be a name.
    """
    for text in texts:
        if not text.isidentifier() or not text.isascii():
            raise ConfigError(
                f"--env {text.partition('=')[0]} is not the name of an environment "
                "variable; give the name alone, such as CAMERA_PASSWORD"
            )
    return tuple(texts)


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Which servers are trusted, and what addresses may take from the environment."""

    tls_ca: Annotated[
        str | None,
        Option(
            "File with CA certificates (PEM) to trust beside those of the system.",
            Panel.NETWORK,
            metavar="FILE",
        ),
    ] = None
    tls_fingerprints: Annotated[
        tuple[tuple[str, str], ...],
        Option(
            "Accept only the certificate with this SHA-256 fingerprint, whoever signed "
            "it; with HOST= only this server needs it; may be repeated.",
            Panel.NETWORK,
            "--tls-fingerprint",
            parse=parse_fingerprints,
            repeats=True,
            metavar="[HOST=]SHA256",
        ),
    ] = ()
    """Pairs of a host, empty for all, and 64 hexadecimal digits."""
    insecure: Annotated[
        bool,
        Option(
            "Accept any certificate: anyone on the way can read passwords and video.",
            Panel.NETWORK,
        ),
    ] = False
    env: Annotated[
        tuple[str, ...],
        Option(
            "Environment variable that {NAME} in an address may stand for, beside "
            "STREAMDENOISE_*; may be repeated.",
            Panel.NETWORK,
            parse=parse_variables,
            repeats=True,
            metavar="NAME",
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options for reading a source; each source uses those that apply to it."""

    start_s: float = 0.0
    """Leave out frames before this time, in seconds from the first frame; live sources
    ignore it."""
    duration_s: float | None = None
    """Leave out frames from `start_s` + `duration_s` on; None reads to the end."""
    pix_fmt: str | None = None
    """Pixel format of the frames, one of `PIX_FMTS`; None keeps the stream's own, or
    converts to the nearest one."""
    keep_original: bool = False
    """Whether frames come with the source's own samples, see `Frame.original`."""
    size: tuple[int, int] | None = None
    """Width and height that the frames of a camera or stream are scaled to; None keeps
    the size of the first frame."""
    gray: bool = False
    """Make pictures gray, in their own depth; for video there is `pix_fmt`."""
    as_stored: bool = False
    """Give pictures as they are stored, gray and of 16 bits too, with all that their
    files hold, instead of rgb24."""
    timeout_s: float = 10.0
    """Longest wait for a connection and for each frame, in seconds."""
    hwaccel: Hwaccel = Hwaccel.NONE
    """Device that decodes video."""
    transport: Transport = Transport.AUTO
    network: NetworkOptions = NetworkOptions()
    """Which servers are trusted."""
    upright: bool = True
    """Turn the frames as they are tagged; False leaves that to the output's tag."""
    stream: int | None = None
    """Number of the video stream; None takes the default or the largest one."""
    alone: bool = False
    """Carry nothing beside the video."""
    audio: str = "all"
    """Sound to carry: `all`, `none`, or the number of a stream."""
    subtitles: str = "all"
    """Subtitles to carry: `all`, `none`, or the number of a stream."""
    input_rate: Fraction | None = None
    """Frames a second of a raw stream or a sequence of images; None takes what the
    stream says, or 25."""
    filters: FilterOptions = FilterOptions()
    """Changes of the frames; pictures are only scaled."""
    sandbox: bool = False
    """Whether files are decoded in a confined process, see `SandboxedSource`."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Limits on reconnecting a lost live source or network output."""

    attempts: int | None = None
    """Consecutive attempts before giving up; None never gives up, 0 never tries."""
    first: bool = False
    """Whether the first connection may take more than one attempt, too."""

    @classmethod
    def parse(cls, text: str) -> "Reconnect":
        """Parse `forever`, `never` or a number of attempts.

        Raises:
            ConfigError: It is none of these.
        """
        if text == "forever":
            return cls(first=True)
        if text == "never":
            return cls(0)
        if not (text.isdecimal() and len(text) < 7):
            raise ConfigError(
                f"--reconnect {text} cannot be used; use forever, never, or a number "
                "of consecutive attempts"
            )
        return cls(int(text), first=int(text) > 0)


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Encoding of the output video; the sink chooses values for None."""

    codec: str = "x264"
    """One of `CODECS`."""
    crf: int | None = None
    """Constant rate factor: lower means better quality and larger files. ffv1, prores
    and dnxhr ignore it; for NVENC it sets `cq`, whose scale differs."""
    preset: str | None = None
    """Encoder preset: `veryfast` ... `slow` (x264, x265), `0` to `13` (svtav1), `p1` to
    `p7` (NVENC)."""
    pix_fmt: str | None = None
    """FFmpeg's pixel format to encode in; None is that of the frames if the encoder
    takes it, else the nearest."""

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ConfigError(
                f"--codec {self.codec} is not known; choose one of {', '.join(CODECS)}"
            )
        nvenc = self.codec in NVENC_CODECS
        lowest = 1 if nvenc else 0  # NVENC takes 0 as automatic
        highest = 51 if nvenc or self.codec in ("x264", "x264rgb", "x265") else 63
        if self.crf is not None and not lowest <= self.crf <= highest:
            raise ConfigError(
                f"--crf {self.crf} is out of range for {self.codec}; "
                f"use {lowest} to {highest}"
            )
        # A preset that NVENC rejects would look like a missing GPU.
        if nvenc and self.preset not in (None, *NVENC_PRESETS):
            raise ConfigError(
                f"--preset {self.preset} is not known to {self.codec}; "
                "use p1 (fastest) to p7 (best)"
            )


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """Encoder options from the user; unset ones are chosen to suit the output."""

    codec: Annotated[
        str | None,
        Option(
            "x264, x264rgb, x265, svtav1, vp9, ffv1, prores, dnxhr, h264_nvenc, "
            "hevc_nvenc, or copy-settings for the codec of the input; by default "
            "svtav1 for .webm, else x264. `file` keeps HEVC and AV1 of 10 bits and "
            "more, ProRes and DNxHR where the container can hold them.",
            Panel.ENCODER,
        ),
    ] = None
    crf: Annotated[
        int | None,
        Option(
            "Constant rate factor; lower means better quality and larger files.",
            Panel.ENCODER,
        ),
    ] = None
    preset: Annotated[
        str | None,
        Option(
            "Encoder preset: ultrafast to veryslow (x264, x265), 0 to 13 (svtav1), or "
            "p1 to p7 (NVENC).",
            Panel.ENCODER,
        ),
    ] = None
    pix_fmt: Annotated[
        str | None,
        Option(
            "Pixel format of the output, such as yuv420p, which all players have, or "
            "yuv422p10le; by default that of the input if the codec has it.",
            Panel.ENCODER,
        ),
    ] = None

    def for_output(
        self, output: str, info: "StreamInfo | None" = None
    ) -> EncoderConfig | None:
        """The encoder for a file or URL; None leaves the choice to the sink.

        Args:
            output: file or URL.
            info: of the frames, if the choice may depend on them.

        Raises:
            ConfigError: The options do not fit together.
        """
        if self == EncoderOptions():
            return None
        codec = self.codec or default_codec(output)
        if self.codec is None and info is not None:
            suited = default_codec(output, info)
            # Others have no such options, or other presets.
            plain = self.crf is None and self.preset is None
            codec = suited if plain or suited == "x265" else codec
        return EncoderConfig(codec, self.crf, self.preset, self.pix_fmt)


def fast_encoder(output: str, chosen: EncoderConfig | None) -> EncoderConfig:
    """`chosen`, or the usual encoder, with a preset that keeps up with live video."""
    encoder = chosen or EncoderConfig(default_codec(output))
    fast = {"x264": "veryfast", "x265": "ultrafast", "svtav1": "10"}
    if encoder.preset is None and encoder.codec in fast:
        return replace(encoder, preset=fast[encoder.codec])
    return encoder


def default_codec(output: str, info: "StreamInfo | None" = None) -> str:
    """The codec for an output if the user names none: one of `CODECS`.

    It is that of most players. Formats that these do not have stay in the family of the
    input: HEVC, AV1 and VP9 of 10 bits, and the editing formats ProRes and DNxHR.

    Args:
        output: file or URL.
        info: of the frames to encode; None if the choice must not depend on them.
    """
    suffix = output.lower().rpartition(".")[2]
    if suffix == "webm":
        original = None if info is None else info.original_pix_fmt
        form = None if original is None else planar_format(original)
        # SVT-AV1 has 4:2:0 only, and no alpha; VP9 has more in 8 bits.
        rich = form is not None and (
            form.has_alpha or (form.kind == "yuv" and form.depth == 8)
        )
        return "vp9" if rich else "svtav1"
    if info is None:
        return "x264"
    if info.codec == "prores" and suffix in ("mov", "mkv"):
        return "prores"
    if info.codec == "dnxhd" and suffix == "mov":
        return "dnxhr"
    form = planar_format(info.original_pix_fmt or info.pix_fmt)
    if form is not None and form.depth >= _DEEP:
        if info.codec == "hevc" and suffix in ("mp4", "m4v", "mov", "mkv", "ts"):
            return "x265"
        if info.codec in ("av1", "vp9") and suffix in ("mp4", "m4v", "mkv"):
            return "svtav1"
    return "x264"
