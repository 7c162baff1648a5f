"""Facts of a container's video stream that sources and sinks must agree on."""

from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Disposition


def main_video(container: InputContainer) -> av.VideoStream | None:
    """The video stream that is denoised: the first one that is not cover art."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def video_start(stream: av.VideoStream) -> Fraction:
    """When the video begins on the container's timeline, in seconds."""
    if stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    start_time = getattr(stream.container, "start_time", None)
    return Fraction(start_time or 0, av.time_base)


def video_duration(stream: av.VideoStream) -> Fraction | None:
    """How long the container says that the video lasts, in seconds."""
    if stream.duration and stream.time_base is not None:
        return stream.duration * stream.time_base
    tag = stream.metadata.get("DURATION")  # Matroska: HH:MM:SS.nnnnnnnnn
    if tag is not None:
        try:
            hours, minutes, seconds = tag.split(":")
            total = (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)
            # The tag counts from 0, not from the first frame.
            return total - video_start(stream)
        except ValueError:
            pass  # a tag of another writer, in its own format
    duration = getattr(stream.container, "duration", None)
    return Fraction(duration, av.time_base) if duration else None
