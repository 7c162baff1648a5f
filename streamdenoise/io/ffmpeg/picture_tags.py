"""What a decoded stream says about its pictures: chroma location, HDR, both eyes."""

import contextlib
import io
import re
import struct
from typing import Any

import av

from streamdenoise.frame import MasteringDisplay, PictureTags
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS

# Matroska's ChromaSitingHorz and ChromaSitingVert, side by side.
_SITING = re.compile(rb"\x55\xb7\x81([\x01\x02])\x55\xb8\x81([\x01\x02])")
_LOCATIONS = {
    (b"\x01", b"\x01"): "topleft",
    (b"\x01", b"\x02"): "left",
    (b"\x02", b"\x01"): "top",
    (b"\x02", b"\x02"): "center",
}

# Layouts of FFmpeg's AVStereo3D -> Matroska's names: left eye first, right eye first.
_STEREO = {
    1: ("left_right", "right_left"),
    2: ("top_bottom", "bottom_top"),
    3: ("block_lr", "block_rl"),
    4: ("checkerboard_lr", "checkerboard_rl"),
    6: ("row_interleaved_lr", "row_interleaved_rl"),
    7: ("col_interleaved_lr", "col_interleaved_rl"),
}
_EYES_SWAPPED = 1


def picture_tags(stream: av.VideoStream, first: av.VideoFrame) -> PictureTags:
    """The tags of `stream`, of which `first` is the first frame."""
    found = _side_data(first)
    light = found.get("CONTENT_LIGHT_LEVEL")
    content_light = None if light is None else struct.unpack_from("2I", light)
    display = found.get("MASTERING_DISPLAY_METADATA")
    return PictureTags(
        chroma_location=_chroma_location(stream),
        mastering_display=None if display is None else _mastering_display(display),
        content_light=content_light if content_light and any(content_light) else None,
        stereo=_stereo(found.get("STEREO3D")),
    )


def _side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """Side data by its name in PyAV."""
    try:
        container: Any = frame.side_data  # iterates over values, unlike its stub
    except ValueError:
        return {}  # a type that is newer than PyAV hides all of them
    return {each.type.name: bytes(each) for each in container}


def _chroma_location(stream: av.VideoStream) -> str:
    """Read from the header that Matroska's muxer makes, as PyAV does not tell it."""
    header = io.BytesIO()
    with contextlib.suppress(*FFMPEG_ERRORS):
        trial = av.open(header, "w", format="matroska")
        try:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
        finally:
            with contextlib.suppress(*FFMPEG_ERRORS):
                trial.close()
    match = _SITING.search(header.getvalue())
    return "" if match is None else _LOCATIONS[match[1], match[2]]


def _mastering_display(data: bytes) -> MasteringDisplay | None:
    """Parse FFmpeg's AVMasteringDisplayMetadata."""
    if len(data) < 88:
        return None
    *numbers, has_primaries, has_luminance = struct.unpack_from("22i", data)
    values = [
        numerator / (denominator or 1)
        for numerator, denominator in zip(numbers[::2], numbers[1::2], strict=True)
    ]
    primaries = tuple(zip(values[0:8:2], values[1:8:2], strict=True))
    return MasteringDisplay(
        primaries if has_primaries else (),
        (values[8], values[9]) if has_luminance else (0.0, 0.0),
    )


def _stereo(data: bytes | None) -> str:
    """Parse FFmpeg's AVStereo3D: its first fields are the layout and flags."""
    if data is None or len(data) < 8:
        return ""
    layout, flags = struct.unpack_from("2i", data)
    names = _STEREO.get(layout)
    return "" if names is None else names[bool(flags & _EYES_SWAPPED)]
