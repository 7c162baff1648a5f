"""Options of sources and sinks."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

from streamdenoise.errors import ConfigError
from streamdenoise.options import Option, Panel

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")


NVENC_CODECS = ("h264_nvenc", "hevc_nvenc")
"""Encoders of NVIDIA GPUs, by FFmpeg's names."""

NVENC_PRESETS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")

CODECS = ("x264", "x265", "svtav1", "ffv1", *NVENC_CODECS, "copy-settings")
"""Video encoders by their usual names; `copy-settings` uses the input's codec."""


class Hwaccel(StrEnum):
    """Device that decodes video; the frames are the same."""

    AUTO = "auto"
    """On an NVIDIA GPU if possible, otherwise in software without a note."""
    NONE = "none"
    """In software; no GPU is used."""
    CUDA = "cuda"
    """On an NVIDIA GPU; if that fails, in software with a note that says why."""


class Transport(StrEnum):
    """Transport of RTSP packets."""

    AUTO = "auto"
    """Over TCP, or over UDP if the server offers no TCP."""
    TCP = "tcp"
    UDP = "udp"


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
    size: tuple[int, int] | None = None
    """Width and height that the frames of a camera or stream are scaled to; None keeps
    the size of the first frame."""
    timeout_s: float = 10.0
    """Longest wait for a connection and for each frame, in seconds."""
    hwaccel: Hwaccel = Hwaccel.NONE
    """Device that decodes video."""
    transport: Transport = Transport.AUTO


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
    """Constant rate factor: lower means better quality and larger files. ffv1 ignores
    it; for NVENC it sets `cq`, whose scale differs."""
    preset: str | None = None
    """Encoder preset: `veryfast` ... `slow` (x264, x265), `0` to `13` (svtav1), `p1` to
    `p7` (NVENC)."""

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ConfigError(
                f"--codec {self.codec} is not known; choose one of {', '.join(CODECS)}"
            )
        nvenc = self.codec in NVENC_CODECS
        lowest = 1 if nvenc else 0  # NVENC takes 0 as automatic
        highest = 51 if nvenc or self.codec in ("x264", "x265") else 63
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
            "x264, x265, svtav1, ffv1, h264_nvenc, hevc_nvenc, or copy-settings for "
            "the codec of the input; by default svtav1 for .webm, else x264.",
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

    def for_output(self, output: str) -> EncoderConfig | None:
        """The encoder for a file or URL; None leaves the choice to the sink.

        Raises:
            ConfigError: The options do not fit together.
        """
        if self == EncoderOptions():
            return None
        codec = self.codec or _default_codec(output)
        return EncoderConfig(codec, self.crf, self.preset)


def fast_encoder(output: str, chosen: EncoderConfig | None) -> EncoderConfig:
    """`chosen`, or the usual encoder, with a preset that keeps up with live video."""
    encoder = chosen or EncoderConfig(_default_codec(output))
    fast = {"x264": "veryfast", "x265": "ultrafast", "svtav1": "10"}
    if encoder.preset is None and encoder.codec in fast:
        return replace(encoder, preset=fast[encoder.codec])
    return encoder


def _default_codec(output: str) -> str:
    return "svtav1" if output.lower().endswith(".webm") else "x264"
