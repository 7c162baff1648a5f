"""The nearest supported pixel format to one of FFmpeg's, and the conversion to it."""

from dataclasses import replace

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from streamdenoise.frame import PIX_FMTS, ColorInfo
from streamdenoise.imaging.color import resolve_matrix
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.io.ffmpeg.planes import SEMI_PLANAR, planes_of

_FULL_RANGE = 2

# swscale's numbers differ from ISO/IEC 23091-2 in two places.
_SWS_MATRIX = {6: 5, 10: 9}

_INTERPOLATION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND


def nearest_pix_fmt(name: str) -> str:
    """The format of `PIX_FMTS` that preserves most of FFmpeg's format `name`.

    Gray stays gray, everything else becomes 4:2:0; more than 8 bits become 10. RGB
    video becomes 4:2:0 too, which encoders and the video models expect.
    """
    if name in PIX_FMTS and name != "rgb24":
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


class PixelConverter:
    """Converts decoded frames to one size and one pixel format."""

    def __init__(self, width: int, height: int, pix_fmt: str) -> None:
        self.width = width
        self.height = height
        self._pix_fmt = pix_fmt
        self._reformatter = VideoReformatter()
        self.rescaled = 0
        """Frames that had another size."""

    def __call__(
        self, frame: av.VideoFrame
    ) -> tuple[tuple[np.ndarray, ...], ColorInfo]:
        """The planes of `frame`, unchanged if they fit, and their color tags."""
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
            src_colorspace=None if is_rgb else _SWS_MATRIX.get(matrix, matrix),
            dst_colorspace=(
                None if color.matrix == 0 else _SWS_MATRIX.get(matrix, matrix)
            ),
            interpolation=_INTERPOLATION,
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
