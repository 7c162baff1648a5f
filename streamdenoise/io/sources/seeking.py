"""The part of a stream that is read, and how to get to its beginning."""

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.container import InputContainer

from streamdenoise.io.ffmpeg.container import video_duration, video_start
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS
from streamdenoise.io.options import ReadOptions

# One rounding step of FFmpeg's microseconds, so that a frame exactly on a bound stays.
_EPSILON = Fraction(1, 500_000)

# Other streams may lie this much before the video that they belong to.
_MARGIN_S = 2

Frames = Iterator[av.VideoFrame]


class Span:
    """The frames of a stream from a start to an end; all times are in seconds.

    A live stream cannot seek: its span begins at 0, which is its first frame.

    Args:
        stream: The stream to read.
        options: The start and the duration.
        origin: Time of the container that is zero on the timeline of the frames.
        is_live: Whether the stream is live.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        options: ReadOptions,
        origin: Fraction = Fraction(0),
        *,
        is_live: bool,
    ) -> None:
        self._stream = stream
        self._origin = origin
        self.start_s = 0.0 if is_live else max(0.0, options.start_s)
        """Time from the beginning of the stream; 0 for all of it."""
        beginning = Fraction(0) if is_live else video_start(stream) - origin
        self.begin = beginning + _exact(self.start_s)
        """Start on the timeline of the frames."""
        self.end: Fraction | None = None
        """End on the timeline of the frames, exclusive; None reads all."""
        if options.duration_s is not None:
            self.end = self.begin + _exact(options.duration_s)

    def frames(self, container: InputContainer, decode: Callable[[], Frames]) -> Frames:
        """The frames of the span.

        Args:
            container: The stream's.
            decode: Decodes from the current position of `container`.
        """
        if self.start_s == 0:
            yield from self._trimmed(decode())
            return
        # Some containers seek to a packet that no decoder can begin with: try earlier.
        for margin_s in (_MARGIN_S, 5 * _MARGIN_S, None):
            if not self._seek(container, margin_s):
                continue
            frames = decode()
            first = next(frames, None)
            if first is None:
                continue
            if margin_s is None or (first.key_frame and _time(first) <= self.begin):
                yield from self._trimmed(itertools.chain([first], frames))
                return

    def num_frames(self, rate: Fraction | None) -> int | None:
        """Number of frames that the container promises for the span, or None."""
        if self.end is None and self.start_s == 0 and self._stream.frames:
            return self._stream.frames
        duration = video_duration(self._stream)
        if duration is not None:
            duration -= self.begin + self._origin - video_start(self._stream)
        if self.end is not None:
            span = self.end - self.begin
            duration = span if duration is None else min(span, duration)
        if duration is None or rate is None:
            return None
        return max(1, round(duration * rate))

    def _seek(self, container: InputContainer, margin_s: int | None) -> bool:
        """Go `margin_s` before the start, or with None to the very beginning."""
        beginning = video_start(self._stream)
        if margin_s is not None:
            wanted = self.begin + self._origin - margin_s
            return _sought(container, self._stream, max(beginning, wanted))
        # Transport streams seek by decoding time, which is a little earlier. A file
        # that cannot seek is decoded from its beginning.
        for moment in (beginning - 1, beginning):
            if _sought(container, self._stream, moment):
                break
        return True

    def _trimmed(self, frames: Frames) -> Frames:
        for frame in frames:
            if self.start_s > 0 and _time(frame) < self.begin - _EPSILON:
                continue
            if self.end is not None and _time(frame) >= self.end - _EPSILON:
                return
            yield frame


def _sought(
    container: InputContainer, stream: av.VideoStream, moment: Fraction
) -> bool:
    """Whether `container` could be moved to `moment`, in seconds of its own clock."""
    time_base = stream.time_base or Fraction(1, av.time_base)
    try:
        container.seek(int(moment / time_base), stream=stream)
    except FFMPEG_ERRORS:
        return False
    return True


def _exact(seconds: float) -> Fraction:
    return Fraction(seconds).limit_denominator(10**6)


def _time(frame: av.VideoFrame) -> Fraction:
    assert frame.pts is not None
    assert frame.time_base is not None
    return frame.pts * frame.time_base
