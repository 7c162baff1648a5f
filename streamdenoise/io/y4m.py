"""The yuv4mpegpipe format: its stream header, and the size of a frame in bytes.

Format: https://wiki.multimedia.cx/index.php/YUV4MPEG2
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from streamdenoise.frame import ColorInfo, StreamInfo, size_fault
from streamdenoise.imaging.planar import PlanarFormat, planar_format
from streamdenoise.io.ffmpeg.pixel_formats import nearest_pix_fmt, original_pix_fmt

MAGIC = b"YUV4MPEG2"
FRAME_MAGIC = b"FRAME"
MAX_LINE_BYTES = 4096

_DEPTHS = ("9", "10", "12", "14", "16")
# Chroma siting differs, the planes do not.
_CHROMA_PIX_FMTS = {
    "420": "yuv420p",
    "420jpeg": "yuv420p",
    "420mpeg2": "yuv420p",
    "420paldv": "yuv420p",
    "422": "yuv422p",
    "444": "yuv444p",
    "444alpha": "yuva444p",
    "mono": "gray",
    **{f"{c}p{d}": f"yuv{c}p{d}le" for c in ("420", "422", "444") for d in _DEPTHS},
    **{f"mono{depth}": f"gray{depth}le" for depth in _DEPTHS},
}
_PIX_FMT_CHROMA = {
    **{pix_fmt: chroma for chroma, pix_fmt in _CHROMA_PIX_FMTS.items()},
    "yuv420p": "420jpeg",
}
_RANGES = {"LIMITED": 1, "FULL": 2}
_NUMBER = re.compile(r"[0-9]{1,9}")
_RATIO = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Y4MStreamInfo(StreamInfo):
    """`StreamInfo` with the further tags of a yuv4mpegpipe header."""

    chroma: str = "420jpeg"
    """The header's C tag: chroma format and siting."""
    interlace: str = "p"
    """The header's I tag: p, t, b or m; ``?`` if unknown."""


def parse_header(line: bytes) -> Y4MStreamInfo:
    """Parse a stream header, given without its line feed.

    Raises:
        ValueError: It is not one, or is not supported; the message is a clause without
            a full stop.
    """
    try:
        words = line.decode("ascii").split(" ")
    except UnicodeDecodeError:
        words = [""]
    if words[0] != MAGIC.decode():
        raise ValueError(
            "it is not yuv4mpegpipe; make it with ffmpeg ... -f yuv4mpegpipe -"
        )
    tags: dict[str, str] = {}
    color_range = 0
    for word in filter(None, words[1:]):
        key, value = word[0], word[1:]
        if key == "X":
            name, _, argument = value.partition("=")
            if name == "COLORRANGE":
                color_range = _RANGES.get(argument, 0)
        elif key in tags:
            raise ValueError(f"its header has two {key} tags")
        else:
            tags[key] = value
    width, height = _number(tags, "W"), _number(tags, "H")
    fault = size_fault(width, height)
    if fault is not None:
        raise ValueError(fault)
    chroma = tags.get("C", "420jpeg")
    if chroma not in _CHROMA_PIX_FMTS:
        raise ValueError(
            f"its pixel format C{chroma[:16]} is not supported; "
            "add -pix_fmt yuv420p to the ffmpeg that writes it"
        )
    interlace = tags.get("I", "?")
    if interlace not in ("p", "t", "b", "m", "?"):
        raise ValueError(f"its interlacing I{interlace[:16]} is not known")
    rate = _ratio(tags, "F")
    pix_fmt = _CHROMA_PIX_FMTS[chroma]
    original = original_pix_fmt(pix_fmt)
    return Y4MStreamInfo(
        width=width,
        height=height,
        pix_fmt=pix_fmt if original is None else nearest_pix_fmt(pix_fmt),
        original_pix_fmt=original,
        frame_rate=rate,
        time_base=1 / (rate or Fraction(25)),
        color=ColorInfo(range=color_range),
        sample_aspect=_ratio(tags, "A"),
        chroma=chroma,
        interlace=interlace,
    )


def format_header(info: StreamInfo) -> bytes:
    """The stream header for `info`, with its line feed.

    Raises:
        ValueError: yuv4mpegpipe cannot hold the format of `info`.
    """
    pix_fmt = info.original_pix_fmt or info.pix_fmt
    if pix_fmt not in _PIX_FMT_CHROMA:
        raise ValueError(f"yuv4mpegpipe cannot hold {pix_fmt}")
    chroma, interlace = _PIX_FMT_CHROMA[pix_fmt], "p"
    if isinstance(info, Y4MStreamInfo):
        interlace = info.interlace
        if _CHROMA_PIX_FMTS[info.chroma] == pix_fmt:
            chroma = info.chroma
    rate = info.frame_rate or Fraction(25)
    aspect = info.sample_aspect or Fraction(0)
    text = (
        f"{MAGIC.decode()} W{info.width} H{info.height} "
        f"F{rate.numerator}:{rate.denominator} I{interlace} "
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0} C{chroma}"
    )
    for name, value in _RANGES.items():
        if value == info.color.range:
            text += f" XCOLORRANGE={name}"
    return text.encode("ascii") + b"\n"


def stream_format(info: StreamInfo) -> PlanarFormat:
    """The format of the planes in the stream."""
    form = planar_format(info.original_pix_fmt or info.pix_fmt)
    assert form is not None
    return form


def frame_bytes(info: StreamInfo) -> int:
    """Size of a frame's planes in bytes, without the frame header."""
    form = stream_format(info)
    item = 1 if form.depth == 8 else 2
    return sum(item * h * w for h, w in form.plane_shapes(info.width, info.height))


def can_hold(pix_fmt: str) -> bool:
    """Whether the format has a name for planes of `pix_fmt`."""
    return pix_fmt in _PIX_FMT_CHROMA


def _number(tags: dict[str, str], key: str) -> int:
    value = tags.get(key, "")
    if _NUMBER.fullmatch(value) is None:
        raise ValueError(f"its header has no valid {key} tag")
    return int(value)


def _ratio(tags: dict[str, str], key: str) -> Fraction | None:
    """The ratio of a tag; None if the tag is missing or 0:0, which means unknown."""
    if key not in tags:
        return None
    match = _RATIO.fullmatch(tags[key])
    if match is None:
        raise ValueError(f"its header has no valid {key} tag")
    numerator, denominator = int(match[1]), int(match[2])
    if numerator == 0 or denominator == 0:
        return None
    return Fraction(numerator, denominator)
