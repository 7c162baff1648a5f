"""Media containers: opening a file, finding its video, its start and duration."""

import io
import os
import stat
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.timeouts import TimedReader


def main_video(container: InputContainer) -> av.VideoStream | None:
    """The video stream to denoise: the first one that is not cover art."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def video_start(stream: av.VideoStream) -> Fraction:
    """Start of the video on the container's timeline, in seconds."""
    if stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    start_time = getattr(stream.container, "start_time", None)
    return Fraction(start_time or 0, av.time_base)


def video_duration(stream: av.VideoStream) -> Fraction | None:
    """Duration of the video as the container states it, in seconds; None if unknown."""
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


DAMAGED = (
    "{} is not a video that FFmpeg can read, or its header is damaged or cut off; "
    "check it with ffprobe"
)


def open_container(path: Path, timeout_s: float) -> InputContainer:
    """Open a media file for reading.

    Raises:
        SourceOpenError: The file is missing, empty, damaged or not a video.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as exc:
        raise SourceOpenError(f"{path}: no such file; check the name") from exc
    except (OSError, ValueError) as exc:
        raise SourceOpenError(f"{path} cannot be opened: {reason(exc)}") from exc
    if stat.S_ISDIR(status.st_mode):
        raise SourceOpenError(f"{path} is a folder; give a video file in it")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise SourceOpenError(f"{path} is empty (0 bytes); get the file again")
    try:
        if stat.S_ISFIFO(status.st_mode):
            # Without O_NONBLOCK the open itself would wait for a writer.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            reader = io.BufferedReader(TimedReader(fd, timeout_s))
            return av.open(reader, "r", timeout=(timeout_s, timeout_s))
        # The prefix keeps names with a colon from being taken for a protocol.
        return av.open(f"file:{path}", "r", timeout=(timeout_s, timeout_s))
    except av.error.InvalidDataError as exc:
        raise SourceOpenError(DAMAGED.format(path)) from exc
    except FFMPEG_ERRORS as exc:
        raise SourceOpenError(f"{path} cannot be opened: {reason(exc)}") from exc
