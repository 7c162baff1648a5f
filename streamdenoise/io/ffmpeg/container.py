"""Media containers: opening a file, finding its video, its start and duration."""

import contextlib
import errno
import io
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import av.error
from av.container import Container, InputContainer
from av.format import Flags
from av.stream import Disposition, Stream

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.connections import playlists
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.formats import format_whitelist, playlist_format
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.timeouts import TimedReader


def has_a_frame(path: Path) -> bool:
    """Whether any frame of a video file that was cut off can be decoded.

    Raises:
        OSError: The file cannot be read; that says nothing about its frames.
    """
    try:
        with av.open(f"file:{path}") as container:
            if not container.streams.video:
                return False
            for packet in container.demux(video=0):
                with contextlib.suppress(av.error.InvalidDataError):
                    if packet.decode():
                        return True
    except (av.error.InvalidDataError, av.error.EOFError):
        pass
    return False


def main_video(
    container: InputContainer, chosen: int | None = None
) -> av.VideoStream | None:
    """The video stream to denoise; None if there is none.

    Cover art does not count. Of several, the one that is marked as default is taken,
    otherwise the largest one.

    Args:
        container: The input.
        chosen: Number of the stream that the user asks for.

    Raises:
        SourceOpenError: The chosen stream is not a video.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if chosen is not None:
        return _chosen(streams, chosen, "video", "--stream")
    marked = [each for each in streams if each.disposition & Disposition.default]
    # Some muxers mark all, some none.
    candidates = marked if len(marked) == 1 else streams
    return max(candidates, key=_area, default=None)


def beside_streams(
    container: InputContainer, video: av.VideoStream, options: ReadOptions
) -> list[Stream]:
    """The streams to carry beside `video`: those that were chosen, and cover art.

    Raises:
        SourceOpenError: A chosen stream does not exist.
    """
    if options.alone:
        return []
    kept: list[Stream] = []
    for stream in container.streams:
        is_other_video = stream.type == "video" and stream.index != video.index
        if is_other_video and stream.disposition & Disposition.attached_pic:
            kept.append(stream)
    kept += _selected(container.streams.audio, options.audio, "audio")
    kept += _selected(container.streams.subtitles, options.subtitles, "subtitles")
    return sorted(kept, key=lambda stream: stream.index)


def sound_streams(
    container: InputContainer, choice: str, *, is_required: bool
) -> Sequence[Stream]:
    """The streams of sound to take from a live source.

    Args:
        container: The source.
        choice: `all`, `none`, or the number of a stream.
        is_required: Whether a chosen stream that does not exist is an error.

    Raises:
        SourceOpenError: It does not exist.
    """
    streams = container.streams.audio
    is_there = choice in ("all", "none", *(str(each.index) for each in streams))
    return _selected(streams, choice, "audio") if is_there or is_required else []


def _selected(streams: Sequence[Stream], choice: str, kind: str) -> Sequence[Stream]:
    if choice == "all":
        return streams
    if choice == "none":
        return []
    return [_chosen(streams, int(choice), kind, f"--{kind}")]


_StreamT = TypeVar("_StreamT", bound=Stream)


def _chosen(
    streams: Sequence[_StreamT], chosen: int, kind: str, option: str
) -> _StreamT:
    for stream in streams:
        if stream.index == chosen:
            return stream
    numbers = " and ".join(str(each.index) for each in streams) or "none at all"
    raise SourceOpenError(
        f"{option} {chosen}: stream {chosen} is no {kind}; the input has {numbers}"
    )


def _area(stream: av.VideoStream) -> int:
    if not stream.codec_context:  # there is no decoder
        return 0
    return (stream.width or 0) * (stream.height or 0)


def has_flag(container: Container, flag: Flags) -> bool:
    """Whether FFmpeg marks the format of `container` with `flag`."""
    return bool(container.format.flags & flag.value)


def video_start(stream: av.VideoStream) -> Fraction:
    """Start of the video on the container's timeline, in seconds."""
    if stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    start_time = getattr(stream.container, "start_time", None)
    return Fraction(start_time or 0, av.time_base)


# HH:MM:SS.nnnnnnnnn; `Fraction` alone would work at "5e999999999" for hours.
_MATROSKA_DURATION = re.compile(r"(\d{1,6}):(\d\d?):(\d\d?(?:\.\d{1,9})?)", re.ASCII)


def video_duration(stream: av.VideoStream) -> Fraction | None:
    """Duration of the video as the container states it, in seconds; None if unknown."""
    if stream.duration and stream.time_base is not None:
        return stream.duration * stream.time_base
    # Other writers have other formats, which are left out.
    tag = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if tag is not None:
        hours, minutes, seconds = map(Fraction, tag.groups())
        # The tag counts from 0, not from the first frame.
        return (hours * 60 + minutes) * 60 + seconds - video_start(stream)
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
    playlist = playlist_format(path.suffix)
    known = filter(None, [playlist])
    # FFmpeg takes single images such as .ppm for series, and would open others by the
    # pattern in the name.
    options = {
        "format_whitelist": format_whitelist("image2", *known),
        "pattern_type": "none",
    }
    try:
        if playlist == "hls":
            return av.open(
                playlists.read_playlist(path),
                "r",
                options=options | playlists.OPTIONS,
                io_open=playlists.from_folder(path.parent),
                timeout=(timeout_s, timeout_s),
            )
        if stat.S_ISFIFO(status.st_mode):
            # Without O_NONBLOCK the open itself would wait for a writer.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            source = io.BufferedReader(TimedReader(fd, timeout_s))
        else:
            # The prefix keeps names with a colon from being taken for a protocol.
            source = f"file:{path}"
        options["protocol_whitelist"] = "file"
        return av.open(source, "r", options=options, timeout=(timeout_s, timeout_s))
    except FFMPEG_ERRORS as exc:
        if playlist is None and _is_list(path):
            raise SourceOpenError(
                f"{path} is a list of other files under the name of a video; if you "
                "trust it, give it the ending .m3u8, .ffconcat or .sdp"
            ) from exc
        if isinstance(exc, _DAMAGE) or getattr(exc, "errno", None) in _SENSELESS:
            raise SourceOpenError(DAMAGED.format(path)) from exc
        raise SourceOpenError(f"{path} cannot be opened: {reason(exc)}") from exc


_DAMAGE = (av.error.InvalidDataError, av.error.EOFError)
_SENSELESS = (errno.EINVAL, errno.EBUSY)
"""What demuxers say of headers that make no sense."""

# The first line of a playlist, of FFmpeg's concat, and of SDP.
_LISTS = (b"#EXTM3U", b"ffconcat version", b"v=0")


def _is_list(path: Path) -> bool:
    if not os.path.isfile(path):  # a pipe would block
        return False
    with suppress(OSError), path.open("rb") as file:
        return file.read(64).lstrip().startswith(_LISTS)
    return False
