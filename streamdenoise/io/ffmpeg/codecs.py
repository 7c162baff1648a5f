"""Video encoders by their common names, and their settings."""

import os
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import OutputContainer

from streamdenoise.errors import SinkError
from streamdenoise.frame import StreamInfo
from streamdenoise.io.options import EncoderConfig


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of FFmpeg and its capabilities."""

    codec: str
    """FFmpeg's name of the encoder."""
    pix_fmts: tuple[str, ...]
    """Formats it supports; others are converted to the nearest of these."""
    crf: int | None = None
    """Default quality, chosen to preserve restored detail; None if it has no CRF."""
    preset: str | None = None
    even: bool = False
    """Whether the codec requires even sizes in 4:2:0."""
    min_side_px: int = 1
    low_delay: dict[str, str] = field(default_factory=dict)
    """Options for encoding without delay."""


_ZERO_LATENCY = {"tune": "zerolatency"}
_NVENC_LOW_DELAY = {"tune": "ull", "zerolatency": "1", "delay": "0", "bf": "0"}


# Defaults favor quality; `--preset veryfast` makes x264 three to four times faster.
ENCODERS = {
    "x264": Encoder(
        "libx264",
        ("yuv420p", "yuv420p10le", "gray", "gray10le"),
        crf=18,
        preset="medium",
        even=True,
        min_side_px=2,
        low_delay=_ZERO_LATENCY,
    ),
    "x265": Encoder(
        "libx265",
        ("yuv420p", "yuv420p10le", "gray", "gray10le"),
        crf=20,
        preset="medium",
        even=True,
        min_side_px=16,
        low_delay=_ZERO_LATENCY,
    ),
    "svtav1": Encoder(
        "libsvtav1", ("yuv420p", "yuv420p10le"), crf=28, preset="8", min_side_px=4
    ),
    "ffv1": Encoder("ffv1", ("yuv420p", "yuv420p10le", "gray", "gray10le", "bgr0")),
    "h264_nvenc": Encoder(
        "h264_nvenc",
        ("yuv420p",),
        crf=18,
        preset="p5",
        even=True,
        min_side_px=2,
        low_delay=_NVENC_LOW_DELAY,
    ),
    "hevc_nvenc": Encoder(
        "hevc_nvenc",
        ("yuv420p", "p010le"),
        crf=20,
        preset="p5",
        even=True,
        min_side_px=2,
        low_delay=_NVENC_LOW_DELAY,
    ),
}

# Codec of an input -> encoder of the same family, for `copy-settings`.
_FAMILIES = {
    "h264": ENCODERS["x264"],
    "hevc": ENCODERS["x265"],
    "av1": ENCODERS["svtav1"],
    "ffv1": ENCODERS["ffv1"],
    "vp9": Encoder("libvpx-vp9", ("yuv420p", "yuv420p10le")),
    "vp8": Encoder("libvpx", ("yuv420p",)),
    "mjpeg": Encoder("mjpeg", ("yuvj420p",)),
    "mpeg4": Encoder("mpeg4", ("yuv420p",)),
    "mpeg2video": Encoder("mpeg2video", ("yuv420p",)),
    "prores": Encoder("prores_ks", ("yuv422p10le",)),
}
_DECODER_ALIASES = {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Encoder settings of the input that `copy-settings` reproduces."""

    codec: str
    """FFmpeg's name of the input's codec or decoder."""
    bit_rate: int | None
    """Bit rate of the video in bit/s; None if unknown."""


def choose_encoder(
    config: EncoderConfig, settings: SourceSettings | None
) -> tuple[Encoder, dict[str, str], int | None, str | None]:
    """Select the encoder for `config`.

    Returns:
        The encoder, its options, a bit rate in bit/s or None, and a note or None.

    Raises:
        SinkError: `copy-settings` has no input to copy from.
    """
    bit_rate, note = None, None
    if config.codec != "copy-settings":
        encoder = ENCODERS[config.codec]
    elif settings is None:
        raise SinkError(
            "--codec copy-settings needs an input file to copy the codec from; "
            "give the name of a codec"
        )
    else:
        family = _DECODER_ALIASES.get(settings.codec, settings.codec)
        encoder = _FAMILIES.get(family, ENCODERS["x264"])
        if family not in _FAMILIES:
            note = f"no encoder for {settings.codec}: x264 is used"
        elif config.crf is None and encoder.codec not in ("ffv1", "prores_ks"):
            bit_rate = settings.bit_rate
    return encoder, _options(encoder, config, bit_rate), bit_rate, note


def _options(
    encoder: Encoder, config: EncoderConfig, bit_rate: int | None
) -> dict[str, str]:
    options: dict[str, str] = {}
    crf = encoder.crf if config.crf is None else config.crf
    preset = config.preset or encoder.preset
    if crf is not None and bit_rate is None:
        options["crf"] = str(crf)
    if preset is not None and encoder.preset is not None:
        options["preset"] = preset
    if encoder.codec == "ffv1":
        # Version 3 with checksums has slices, for threads and to contain damage.
        options |= {"level": "3", "slicecrc": "1"}
    elif encoder.codec == "libx265":
        options["x265-params"] = "log-level=error"
    elif encoder.codec == "libsvtav1":
        # The only way to keep the library from writing its banner to stderr.
        os.environ.setdefault("SVT_LOG", "1")
    elif encoder.codec.endswith("_nvenc"):
        # Constant quality in NVENC's terms, as long as no bit rate is set.
        options |= {"rc": "vbr", "cq": options.pop("crf")}
    return options


def encoded_pix_fmt(encoder: Encoder, pix_fmt: str) -> str:
    """The format to convert frames of `pix_fmt` to for this encoder."""
    if pix_fmt in encoder.pix_fmts:
        return pix_fmt
    if pix_fmt == "rgb24" and "bgr0" in encoder.pix_fmts:
        return "bgr0"  # the same samples in another order: still lossless
    for deep in ("yuv420p10le", "p010le"):
        if pix_fmt.endswith("10le") and deep in encoder.pix_fmts:
            return deep
    return encoder.pix_fmts[0]


def encoded_size(encoder: Encoder, width: int, height: int) -> tuple[int, int]:
    """The encoded size: that of the frames, padded as the codec requires."""
    step = 2 if encoder.even else 1
    width, height = (
        max(encoder.min_side_px, -(-side // step) * step) for side in (width, height)
    )
    return width, height


def add_video_stream(
    container: OutputContainer,
    encoder: Encoder,
    options: dict[str, str],
    bit_rate: int | None,
    info: StreamInfo,
    time_base: Fraction,
) -> av.VideoStream:
    """Add a video stream for `info` to an output, with its tags, without opening it.

    Raises:
        ValueError: The container does not support the codec.
    """
    rate = info.frame_rate or Fraction(25)
    stream = container.add_stream(encoder.codec, rate=rate.limit_denominator(1001))
    assert isinstance(stream, av.VideoStream)
    stream.options = dict(options)
    context = stream.codec_context
    context.width, context.height = encoded_size(encoder, info.width, info.height)
    context.pix_fmt = encoded_pix_fmt(encoder, info.pix_fmt)
    context.time_base = stream.time_base = time_base
    context.colorspace = info.color.matrix
    context.color_range = info.color.range
    context.color_primaries = info.color.primaries
    context.color_trc = info.color.transfer
    if info.sample_aspect is not None:
        context.sample_aspect_ratio = info.sample_aspect
    if bit_rate is not None:
        context.bit_rate = bit_rate
    return stream
