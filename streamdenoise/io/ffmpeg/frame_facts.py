"""Facts that need a decoded frame: its orientation, and data that is lost."""

from dataclasses import dataclass
from typing import Any

import av

# Side data of FFmpeg's frames that no output holds; `picture_tags` has the rest.
_LOST = {
    "DYNAMIC_HDR_PLUS": "HDR10+ data",
    "DYNAMIC_HDR_VIVID": "HDR Vivid data",
    "DOVI_METADATA": "Dolby Vision data",
    "SPHERICAL": "360-degree (spherical) data",
    "A53_CC": "closed captions inside the video",
}

_ONE = 1 << 16
# Display matrices of whole quarter turns, by PyAV's counterclockwise degrees.
_TURNED = {
    90: (0, -_ONE, 0, _ONE, 0, 0, 0, 0, 1 << 30),
    180: (-_ONE, 0, 0, 0, -_ONE, 0, 0, 0, 1 << 30),
    270: (0, _ONE, 0, -_ONE, 0, 0, 0, 0, 1 << 30),
}


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What the side data of a frame says."""

    display_matrix: tuple[int, ...] | None = None
    """FFmpeg's nine numbers; None if the frame is upright."""
    losses: tuple[str, ...] = ()
    """Names of data that cannot be copied."""


def frame_facts(frame: av.VideoFrame) -> FrameFacts:
    """Read the side data of `frame`, a decoder's first one."""
    try:
        side_data: Any = frame.side_data  # iterates over values, unlike its stub
    except ValueError:
        # PyAV knows none of it if there is one type that it does not know.
        turned = _TURNED.get(frame.rotation % 360)
        return FrameFacts(turned, ("frame data of a newer kind (such as EXIF)",))
    found = {each.type.name: each for each in side_data}
    matrix = None
    if "DISPLAYMATRIX" in found:
        matrix = tuple(memoryview(bytes(found["DISPLAYMATRIX"])).cast("i"))
    return FrameFacts(matrix, tuple(t for name, t in _LOST.items() if name in found))
