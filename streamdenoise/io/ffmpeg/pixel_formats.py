"""The nearest supported pixel format to one of FFmpeg's, and the conversion to it."""

from dataclasses import replace

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from streamdenoise.frame import PIX_FMTS, ColorInfo, Original
from streamdenoise.imaging.color import resolve_matrix
from streamdenoise.imaging.original import seen_planes
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.imaging.planar import planar_format
from streamdenoise.io.ffmpeg.planes import (
    SEMI_PLANAR,
    original_planes_of,
    planes_of,
)

_FULL_RANGE = 2

# Packed and interleaved formats -> the planar one with the same samples.
_PLANAR = {
    **dict.fromkeys(("yuyv422", "uyvy422", "yvyu422", "nv16"), "yuv422p"),
    **dict.fromkeys(("y210le", "p210le", "nv20le"), "yuv422p10le"),
    **dict.fromkeys(("nv24", "nv42", "vuyx"), "yuv444p"),
    **dict.fromkeys(("vuya", "ayuv", "uyva"), "yuva444p"),
    **dict.fromkeys(("xv30le", "v30xle", "p410le"), "yuv444p10le"),
    "y212le": "yuv422p12le",
    "xv36le": "yuv444p12le",
    "ayuv64le": "yuva444p16le",
    **dict.fromkeys(
        ("rgb24", "bgr24", "bgr0", "rgb0", "0rgb", "0bgr", "rgb8", "bgr8", "rgb4_byte"),
        "gbrp",
    ),
    **dict.fromkeys(("rgba", "bgra", "argb", "abgr", "pal8"), "gbrap"),
    **dict.fromkeys(("x2rgb10le", "x2bgr10le"), "gbrp10le"),
    **dict.fromkeys(("rgb48le", "bgr48le", "rgb48be", "bgr48be"), "gbrp16le"),
    **dict.fromkeys(("rgba64le", "bgra64le", "rgba64be", "bgra64be"), "gbrap16le"),
    **dict.fromkeys(("rgb565le", "rgb565be", "rgb555le", "rgb555be"), "gbrp"),
}

# swscale's numbers differ from ISO/IEC 23091-2 in two places.
_SWS_MATRIX = {6: 5, 10: 9}

# Encoders of video do not take them.
_ONLY_OF_PICTURES = ("rgb24", "gray16le", "rgb48le")

INTERPOLATION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
"""How swscale converts, wherever it does."""


def sws_matrix(matrix: int) -> int:
    """swscale's number of matrix coefficients of ISO/IEC 23091-2."""
    return _SWS_MATRIX.get(matrix, matrix)


def nearest_pix_fmt(name: str) -> str:
    """The format of `PIX_FMTS` that preserves most of FFmpeg's format `name`.

    Gray stays gray, everything else becomes 4:2:0; more than 8 bits become 10. RGB
    video becomes 4:2:0 too, which encoders and the video models expect.
    """
    if name in PIX_FMTS and name not in _ONLY_OF_PICTURES:
        return name
    pixels = av.VideoFormat(name)
    components = [part for part in pixels.components if not part.is_alpha]
    deep = max(part.bits for part in components) > 8
    if len(components) == 1 and not (pixels.has_palette or pixels.is_rgb):
        return "gray10le" if deep else "gray"
    return "yuv420p10le" if deep else "yuv420p"


def same_samples(name: str) -> str:
    """The format of `PIX_FMTS` with the same samples as `name`, or `name` itself."""
    return SEMI_PLANAR.get(name, name.replace("yuvj", "yuv"))


def planar_pix_fmt(name: str) -> str:
    """The planar format with the same samples as FFmpeg's `name`, or `name` itself."""
    return _PLANAR.get(name, same_samples(name))


def original_pix_fmt(name: str, *, transposed: bool = False) -> str | None:
    """The planar format for all samples of FFmpeg's format `name`.

    None if `nearest_pix_fmt` has them, too, or if there is none. Frames that are to be
    `transposed` need chroma of the same share of width and height.
    """
    planar = planar_pix_fmt(name)
    if planar_format(planar) is None and name.endswith("be"):
        planar = name.removesuffix("be") + "le"
    if planar_format(planar) is None or planar == nearest_pix_fmt(name):
        return None
    if transposed:
        planar = planar.replace("422", "444").replace("440", "444")
    return planar


class PixelConverter:
    """Converts decoded frames to one size and one pixel format.

    Attributes:
        original_pix_fmt: format of the samples in `Frame.original`; None without.
    """

    def __init__(
        self, width: int, height: int, pix_fmt: str, original_pix_fmt: str | None = None
    ) -> None:
        self.width = width
        self.height = height
        self.original_pix_fmt = original_pix_fmt
        self._pix_fmt = pix_fmt
        self._reformatter = VideoReformatter()
        self.rescaled = 0
        """Frames that had another size."""

    def __call__(
        self, frame: av.VideoFrame
    ) -> tuple[tuple[np.ndarray, ...], ColorInfo, Original | None]:
        """The planes of `frame`, unchanged if they fit, and their color tags.

        With them come the frame's own samples, if there is an `original_pix_fmt`.
        """
        if self.original_pix_fmt is None:
            return *self._nearest(frame), None
        return self._with_original(frame, self.original_pix_fmt)

    def _with_original(
        self, frame: av.VideoFrame, pix_fmt: str
    ) -> tuple[tuple[np.ndarray, ...], ColorInfo, Original]:
        form = planar_format(pix_fmt)
        assert form is not None
        color = color_of(frame)
        same_size = (frame.width, frame.height) == (self.width, self.height)
        self.rescaled += not same_size
        matrix = resolve_matrix(color, self.width, self.height)
        was_rgb = frame.format.is_rgb or frame.format.has_palette
        if not same_size or same_samples(frame.format.name) != pix_fmt:
            own_range = _FULL_RANGE if was_rgb else color.range or 1
            if form.kind == "rgb":
                color = replace(color, matrix=0, range=_FULL_RANGE)
            elif was_rgb:
                color = replace(color, matrix=matrix, range=1)
            coefficients = sws_matrix(matrix)
            frame = self._reformatter.reformat(
                frame,
                width=self.width,
                height=self.height,
                format=pix_fmt,
                src_colorspace=None if was_rgb else coefficients,
                dst_colorspace=None if form.kind == "rgb" else coefficients,
                interpolation=INTERPOLATION,
                src_color_range=own_range,
                # Gray keeps its codes, whatever their range.
                dst_color_range=own_range if form.kind == "gray" else color.range or 1,
            )
        planes = original_planes_of(frame, form)
        seen_color = color
        if form.kind == "rgb":
            seen_color = replace(color, matrix=matrix, range=1)
        seen = seen_planes(planes, pix_fmt, self._pix_fmt, seen_color)
        return seen, seen_color, Original(planes, pix_fmt, color, seen)

    def _nearest(
        self, frame: av.VideoFrame
    ) -> tuple[tuple[np.ndarray, ...], ColorInfo]:
        color = color_of(frame)
        name = frame.format.name
        same_size = (frame.width, frame.height) == (self.width, self.height)
        self.rescaled += not same_size
        # swscale stretches the range in every conversion from or to gray, which is
        # wrong here: let it convert to the nearest format, and the planes do the rest.
        nearest = nearest_pix_fmt(name)
        through = self._pix_fmt
        if nearest.startswith("gray") != through.startswith("gray"):
            through = nearest
        if same_size and same_samples(name) == through:
            planes = planes_of(frame, through)
            return convert_planes(planes, through, self._pix_fmt, color)
        is_rgb = frame.format.is_rgb or frame.format.has_palette
        matrix = resolve_matrix(color, self.width, self.height)
        src_range = _FULL_RANGE if is_rgb else color.range or 1
        if through == "rgb24":
            color = replace(color, matrix=0, range=_FULL_RANGE)
        elif is_rgb:
            color = replace(color, matrix=matrix, range=1)
        converted = self._reformatter.reformat(
            frame,
            width=self.width,
            height=self.height,
            format=through,
            src_colorspace=None if is_rgb else sws_matrix(matrix),
            dst_colorspace=(None if color.matrix == 0 else sws_matrix(matrix)),
            interpolation=INTERPOLATION,
            src_color_range=src_range,
            dst_color_range=color.range or 1,
        )
        planes = planes_of(converted, through)
        return convert_planes(planes, through, self._pix_fmt, color)


def color_of(frame: av.VideoFrame) -> ColorInfo:
    """The color tags of `frame`; ``yuvj`` formats are full range whatever the tag."""
    full = frame.format.name.startswith("yuvj")
    return ColorInfo(
        matrix=frame.colorspace,
        range=_FULL_RANGE if full else frame.color_range,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
    )
