"""Recording in segments: their names, where they begin, and which ones are kept.

Encoding is in `io.ffmpeg`.
"""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.io.recording.retention import Keep
    from streamdenoise.io.recording.segments import SegmentSink, check_pattern

__all__ = ["Keep", "SegmentSink", "check_pattern"]

__getattr__ = exports(
    __name__,
    {"Keep": "retention", "SegmentSink": "segments", "check_pattern": "segments"},
)
