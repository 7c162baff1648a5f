"""Video encoders by their common names, and their settings."""

import os
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import av
from av.container import OutputContainer

from streamdenoise.errors import SinkError
from streamdenoise.frame import StreamInfo
from streamdenoise.imaging.planar import PlanarFormat, planar_format
from streamdenoise.io.ffmpeg.pixel_formats import planar_pix_fmt
from streamdenoise.io.options import EncoderConfig
from streamdenoise.threads import thread_limit


@dataclass(frozen=True, slots=True, eq=False)
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
    """Whether the codec requires even sizes where chroma has half of them."""
    min_side_px: int = 1
    low_delay: dict[str, str] = field(default_factory=dict)
    """Options for encoding without delay."""
    is_master: bool = False
    """Whether it is for editing: RGB becomes 4:4:4, not 4:2:0 for players."""


_ZERO_LATENCY = {"tune": "zerolatency"}
_NVENC_LOW_DELAY = {"tune": "ull", "zerolatency": "1", "delay": "0", "bf": "0"}


def _yuv(chroma: str, *depths: int, alpha: bool = False) -> tuple[str, ...]:
    """Names of YUV formats: all of ``420 422 444`` in `chroma` at all depths."""
    return tuple(
        f"yuv{'a' if alpha else ''}{each}p{'' if depth == 8 else f'{depth}le'}"
        for each in chroma.split()
        for depth in depths
    )


_ALL_CHROMA = "420 422 444"

# Defaults favor quality; `--preset veryfast` makes x264 three to four times faster.
ENCODERS = {
    "x264": Encoder(
        "libx264",
        (*_yuv(_ALL_CHROMA, 8, 10), "gray", "gray10le"),
        crf=18,
        preset="medium",
        even=True,
        min_side_px=2,
        low_delay=_ZERO_LATENCY,
    ),
    "x264rgb": Encoder(
        "libx264rgb", ("bgr0",), crf=18, preset="medium", low_delay=_ZERO_LATENCY
    ),
    "x265": Encoder(
        "libx265",
        (
            *_yuv(_ALL_CHROMA, 8, 10, 12),
            *("gray", "gray10le", "gray12le", "gbrp", "gbrp10le", "gbrp12le"),
        ),
        crf=20,
        preset="medium",
        even=True,
        min_side_px=16,
        low_delay=_ZERO_LATENCY,
    ),
    "svtav1": Encoder(
        "libsvtav1",
        ("yuv420p", "yuv420p10le"),
        crf=28,
        preset="8",
        # It takes 4 pixels, and never returns from many sizes with a side below 28.
        min_side_px=32,
    ),
    "vp9": Encoder(
        "libvpx-vp9",
        (
            *_yuv("420 422 440 444", 8),
            *_yuv(_ALL_CHROMA, 8, alpha=True),
            *_yuv(_ALL_CHROMA, 10, 12),
        ),
        crf=24,
    ),
    "ffv1": Encoder(
        "ffv1",
        (
            *_yuv(_ALL_CHROMA, 8, 9, 10, 12, 14, 16),
            *_yuv(_ALL_CHROMA, 8, 9, 10, 16, alpha=True),
            *_yuv("422 444", 12, alpha=True),
            *("yuv440p", "yuv440p10le", "yuv440p12le"),
            *("gray", "gray9le", "gray10le", "gray12le", "gray14le", "gray16le"),
            *("ya8", "bgr0", "bgra"),
            *(f"gbrp{depth}le" for depth in (9, 10, 12, 14, 16)),
            *(f"gbrap{depth}le" for depth in (10, 12, 14, 16)),
        ),
        is_master=True,
    ),
    "prores": Encoder(
        "prores_ks",
        ("yuv422p10le", "yuv444p10le", "yuva444p10le"),
        even=True,
        is_master=True,
    ),
    "dnxhr": Encoder(
        "dnxhd",
        ("yuv422p", "yuv422p10le", "yuv444p10le", "gbrp10le"),
        even=True,
        is_master=True,
    ),
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
    "vp9": ENCODERS["vp9"],
    "vp8": Encoder("libvpx", ("yuv420p", "yuva420p")),
    "mjpeg": Encoder("mjpeg", ("yuvj420p", "yuvj422p", "yuvj444p")),
    "mpeg4": Encoder("mpeg4", ("yuv420p",)),
    "mpeg2video": Encoder("mpeg2video", ("yuv420p", "yuv422p")),
    "prores": ENCODERS["prores"],
    "dnxhd": ENCODERS["dnxhr"],
}
# Encoders whose quality has no scale that is common: FFmpeg's defaults are good.
_WITHOUT_RATE = ("ffv1", "prores_ks", "dnxhd")

_IN_MPEGTS = (
    *("libx264", "libx264rgb", "libx265", "mpeg2video", "mpeg4"),
    *("h264_nvenc", "hevc_nvenc"),
)

# FFmpeg's `profile` of DNxHR; DNxHD itself has fixed sizes and rates.
_DNXHR_PROFILES = {"yuv422p": "dnxhr_hq", "yuv422p10le": "dnxhr_hqx"}

_DECODER_ALIASES = {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Encoder settings of the input that `copy-settings` reproduces."""

    codec: str
    """FFmpeg's name of the input's codec or decoder."""
    bit_rate: int | None
    """Bit rate of the video in bit/s; None if unknown."""


def choose_encoder(
    config: EncoderConfig, settings: SourceSettings | None, *, from_rgb: bool = False
) -> tuple[Encoder, dict[str, str], int | None, str | None]:
    """Select the encoder for `config`.

    Args:
        config: the user's choice.
        settings: of the input, for `copy-settings`.
        from_rgb: whether the input is RGB.

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
        if family == "h264" and from_rgb:
            encoder = ENCODERS["x264rgb"]
        if family not in _FAMILIES:
            note = f"no encoder for {settings.codec}: x264 is used"
        elif config.crf is None and encoder.codec not in _WITHOUT_RATE:
            bit_rate = settings.bit_rate
    return encoder, _options(encoder, config, bit_rate), bit_rate, note


def _options(
    encoder: Encoder, config: EncoderConfig, bit_rate: int | None
) -> dict[str, str]:
    options: dict[str, str] = {}
    limit = thread_limit()
    if limit is not None:
        options["threads"] = str(limit)
    crf = encoder.crf if config.crf is None else config.crf
    preset = config.preset or encoder.preset
    if crf is not None and bit_rate is None and encoder.codec not in _WITHOUT_RATE:
        options["crf"] = str(crf)
    if preset is not None and encoder.preset is not None:
        options["preset"] = preset
    if encoder.codec == "ffv1":
        # Version 3 with checksums has slices, for threads and to contain damage.
        options |= {"level": "3", "slicecrc": "1"}
    elif encoder.codec == "libx265":
        pools = "" if limit is None else f":pools={limit}"
        options["x265-params"] = f"log-level=error{pools}"
    elif encoder.codec == "libsvtav1":
        # The only way to keep the library from writing its banner to stderr.
        os.environ.setdefault("SVT_LOG", "1")
    elif encoder.codec == "libvpx-vp9":
        # Without these it uses one thread, and takes three times as long.
        options |= {"row-mt": "1", "cpu-used": "4"}
    elif encoder.codec.endswith("_nvenc"):
        # Constant quality in NVENC's terms, as long as no bit rate is set.
        options |= {"rc": "vbr", "cq": options.pop("crf"), "forced-idr": "1"}
    return options


# Frames that encoders look ahead, by preset.
_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"),
    *("slower", "veryslow", "placebo"),
)
_X264_FRAMES = (0, 0, 10, 20, 30, 40, 50, 60, 60, 60)
_X265_FRAMES = (5, 10, 15, 15, 15, 20, 25, 40, 40, 60)
_X264_LOOKAHEAD = dict(zip(_PRESETS, _X264_FRAMES, strict=True))
_X265_LOOKAHEAD = dict(zip(_PRESETS, _X265_FRAMES, strict=True))
_VP9_LOOKAHEAD, _SVTAV1_LOOKAHEAD = 25, 80

# x265 needs more than it has B-frames in a row.
_X265_LEAST = 10


def limit_lookahead(encoder: Encoder, options: dict[str, str], most: int) -> None:
    """Make an encoder hold back at most about `most` frames, which a crash would lose.

    SVT-AV1 still holds back up to 50: a group of pictures is 32 frames.
    """
    preset = options.get("preset", "")
    if encoder.codec in ("libx264", "libx264rgb"):
        if _X264_LOOKAHEAD.get(preset, 0) > most:
            options["rc-lookahead"] = str(max(1, most))
    elif encoder.codec == "libx265":
        if _X265_LOOKAHEAD.get(preset, 0) > max(most, _X265_LEAST):
            limit = max(most, _X265_LEAST)
            options["x265-params"] += f":rc-lookahead={limit}"
    elif encoder.codec == "libvpx-vp9":
        if most < _VP9_LOOKAHEAD:
            options["lag-in-frames"] = str(max(1, most))
    elif encoder.codec == "libsvtav1" and most < _SVTAV1_LOOKAHEAD:
        options["svtav1-params"] = "lookahead=0"


@lru_cache(maxsize=256)
def encoded_pix_fmt(encoder: Encoder, pix_fmt: str) -> str:
    """The format to convert frames of `pix_fmt` to for this encoder.

    It is the one that loses least: color, then alpha, then chroma, then bits.
    """
    usable = _usable_pix_fmts(encoder)
    if pix_fmt in usable:
        return pix_fmt
    if pix_fmt == "rgb24":
        # The same samples in another order are still lossless; else as for players.
        return "bgr0" if "bgr0" in usable else usable[0]
    form = planar_format(pix_fmt)
    assert form is not None
    if form.kind == "rgb" and not any(map(is_rgb, usable)):
        chroma = "444" if encoder.is_master else "420"
        return encoded_pix_fmt(
            encoder,
            f"yuv{'a' * form.has_alpha}{chroma}p{f'{form.depth}le' * (form.depth > 8)}",
        )
    return min(usable, key=lambda name: _losses(form, name))


def _losses(form: PlanarFormat, name: str) -> tuple[int, ...]:
    """What the format `name` lacks of `form`, and then what it has in vain."""
    target = planar_format(planar_pix_fmt(name))
    assert target is not None
    chroma = [
        there - here
        for here, there in zip(form.chroma_shift, target.chroma_shift, strict=True)
    ]
    bits = form.depth - target.depth
    missing = (
        form.kind != "gray" and target.kind == "gray",
        form.kind != target.kind and "rgb" in (form.kind, target.kind),
        form.has_alpha and not target.has_alpha,
        sum(max(each, 0) for each in chroma),
        max(bits, 0),
    )
    in_vain = (
        form.kind == "gray" and target.kind != "gray",
        target.has_alpha and not form.has_alpha,
        -sum(chroma) if form.kind != "gray" else -sum(target.chroma_shift),
        -bits,
    )
    return tuple(map(int, (*missing, *in_vain)))


def is_rgb(pix_fmt: str) -> bool:
    """Whether an encoder's format is RGB."""
    form = planar_format(planar_pix_fmt(pix_fmt))
    return form is not None and form.kind == "rgb"


def _usable_pix_fmts(encoder: Encoder) -> tuple[str, ...]:
    """Those of an encoder that this build of FFmpeg has."""
    if encoder.codec not in av.codecs_available:
        return encoder.pix_fmts
    formats = av.Codec(encoder.codec, "w").video_formats or ()
    built = {each.name for each in formats}
    return tuple(each for each in encoder.pix_fmts if each in built)


def target_pix_fmt(encoder: Encoder, config: EncoderConfig, info: StreamInfo) -> str:
    """The format that frames of `info` are encoded in.

    Raises:
        SinkError: The encoder does not take the one of `config`.
    """
    if config.pix_fmt is None:
        return encoded_pix_fmt(encoder, info.original_pix_fmt or info.pix_fmt)
    usable = _usable_pix_fmts(encoder)
    if config.pix_fmt not in usable:
        raise SinkError(
            f"--pix-fmt {config.pix_fmt} cannot be used: {encoder.codec} takes "
            f"{', '.join(usable)}"
        )
    return config.pix_fmt


def encoded_size(
    encoder: Encoder, width: int, height: int, pix_fmt: str
) -> tuple[int, int]:
    """The encoded size: that of the frames, padded as the codec requires."""
    form = planar_format(planar_pix_fmt(pix_fmt))
    assert form is not None
    # Encoders of 4:2:0 take gray for it.
    halves = (1, 1) if form.kind == "gray" else form.chroma_shift
    steps = [1 + (encoder.even and half) for half in halves]
    width, height = (
        max(encoder.min_side_px, -(-side // step) * step)
        for side, step in zip((width, height), steps, strict=True)
    )
    return width, height


def add_video_stream(
    container: OutputContainer,
    encoder: Encoder,
    options: dict[str, str],
    bit_rate: int | None,
    info: StreamInfo,
    time_base: Fraction,
    pix_fmt: str,
) -> av.VideoStream:
    """Add a video stream for `info` to an output, with its tags, without opening it.

    Raises:
        ValueError: The container does not support the codec.
    """
    format_name = container.format.name
    if format_name == "mpegts" and encoder.codec not in _IN_MPEGTS:
        # Its muxer writes any codec, as data that no player knows.
        raise ValueError(f"{format_name} format does not support {encoder.codec}")
    rate = info.frame_rate or Fraction(25)
    stream = container.add_stream(encoder.codec, rate=rate.limit_denominator(1001))
    assert isinstance(stream, av.VideoStream)
    stream.options = dict(options)
    if pix_fmt == "yuva420p" and encoder.codec == "libvpx":
        stream.options["auto-alt-ref"] = "0"  # it refuses alpha otherwise
    elif encoder.codec == "dnxhd":
        stream.options["profile"] = _DNXHR_PROFILES.get(pix_fmt, "dnxhr_444")
    context = stream.codec_context
    context.width, context.height = encoded_size(
        encoder, info.width, info.height, pix_fmt
    )
    context.pix_fmt = pix_fmt
    if format_name in ("mp4", "mov") and encoder.codec in ("libx265", "hevc_nvenc"):
        context.codec_tag = "hvc1"  # Apple's players do not know FFmpeg's hev1
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
