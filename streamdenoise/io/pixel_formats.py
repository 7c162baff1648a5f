"""Which of our formats is nearest to one of FFmpeg's, and the way there."""

from dataclasses import replace

import av
from av.video.reformatter import Interpolation, VideoReformatter

from streamdenoise.color import resolve_matrix
from streamdenoise.frame import PIX_FMTS, ColorInfo

_FULL_RANGE = 2

# swscale's numbers differ from ISO/IEC 23091-2 in two places.
_SWS_MATRIX = {6: 5, 10: 9}

_INTERPOLATION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND


def nearest_pix_fmt(name: str) -> str:
    """The format of `PIX_FMTS` that keeps most of FFmpeg's format `name`.

    Gray stays gray, everything else becomes 4:2:0; more than 8 bits become 10. RGB
    video becomes 4:2:0 too: that is what encoders and the models for video take.
    """
    if name in PIX_FMTS and name != "rgb24":
        return name
    pixels = av.VideoFormat(name)
    components = [part for part in pixels.components if not part.is_alpha]
    deep = max(part.bits for part in components) > 8
    if len(components) == 1 and not (pixels.has_palette or pixels.is_rgb):
        return "gray10le" if deep else "gray"
    return "yuv420p10le" if deep else "yuv420p"


class PixelConverter:
    """Brings decoded frames to one size and one of our formats, and counts them."""

    def __init__(self, width: int, height: int, pix_fmt: str) -> None:
        self._width = width
        self._height = height
        self._pix_fmt = pix_fmt
        self._reformatter = VideoReformatter()
        self.rescaled = 0
        """Frames whose size was not the first one's."""

    def __call__(self, frame: av.VideoFrame) -> tuple[av.VideoFrame, ColorInfo]:
        """`frame` itself where it fits; its colour tags, true for the result."""
        color = color_of(frame)
        name = frame.format.name
        same_size = (frame.width, frame.height) == (self._width, self._height)
        self.rescaled += not same_size
        if same_size and name.replace("yuvj", "yuv") == self._pix_fmt:
            return frame, color
        is_rgb = frame.format.is_rgb or frame.format.has_palette
        matrix = resolve_matrix(color, self._width, self._height)
        src_range = _FULL_RANGE if is_rgb else color.range or 1
        if self._pix_fmt == "rgb24":
            color = replace(color, matrix=0, range=_FULL_RANGE)
        elif is_rgb:
            color = replace(color, matrix=matrix, range=1)
        converted = self._reformatter.reformat(
            frame,
            width=self._width,
            height=self._height,
            format=self._pix_fmt,
            src_colorspace=None if is_rgb else _SWS_MATRIX.get(matrix, matrix),
            dst_colorspace=(
                None if color.matrix == 0 else _SWS_MATRIX.get(matrix, matrix)
            ),
            interpolation=_INTERPOLATION,
            src_color_range=src_range,
            dst_color_range=color.range or 1,
        )
        converted.pts, converted.time_base = frame.pts, frame.time_base
        return converted, color


def color_of(frame: av.VideoFrame) -> ColorInfo:
    """The tags of `frame`; the ``yuvj`` formats mean full range whatever is tagged."""
    full = frame.format.name.startswith("yuvj")
    return ColorInfo(
        matrix=frame.colorspace,
        range=_FULL_RANGE if full else frame.color_range,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
    )
