"""Video files: anything that FFmpeg reads."""

import io
import os
import stat
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from streamdenoise.config import Hwaccel
from streamdenoise.errors import SourceOpenError
from streamdenoise.io.container_video import main_video
from streamdenoise.io.ffmpeg_errors import FFMPEG_ERRORS, reason
from streamdenoise.io.pyav_source import PyAVSource
from streamdenoise.io.timed_reader import TimedReader

_DAMAGED = (
    "{} is not a video that FFmpeg can read, or its header is damaged or cut off; "
    "check it with ffprobe"
)


class FileSource(PyAVSource):
    """Decodes a file as fast as it can, on several threads.

    Timestamps, time base and colour tags are the file's own. What cannot be decoded is
    skipped and counted; a file that ends early gives what is there, and a note.
    """

    def __init__(
        self,
        path: Path,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        pix_fmt: str | None = None,
        timeout_s: float = 10.0,
        hwaccel: Hwaccel = Hwaccel.NONE,
    ) -> None:
        name = str(path)
        container = open_container(path, timeout_s)
        stream = main_video(container)
        if stream is None:
            kinds = sorted({each.type for each in container.streams})
            container.close()
            if not kinds:
                raise SourceOpenError(_DAMAGED.format(name))
            raise SourceOpenError(
                f"{name} holds no video, only {' and '.join(kinds)}; "
                "choose a file with a video stream"
            )
        super().__init__(
            container,
            stream,
            name,
            is_live=False,
            start_s=start_s,
            duration_s=duration_s,
            pix_fmt=pix_fmt,
            timeout_s=timeout_s,
            hwaccel=hwaccel,
        )


def open_container(path: Path, timeout_s: float) -> InputContainer:
    """Open a media file for reading.

    Raises:
        SourceOpenError: With the file's name, what is wrong and what to do.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as exc:
        raise SourceOpenError(f"{path}: no such file; check the name") from exc
    except (OSError, ValueError) as exc:
        raise SourceOpenError(f"{path} cannot be opened: {reason(exc)}") from exc
    if stat.S_ISDIR(status.st_mode):
        raise SourceOpenError(f"{path} is a folder; name a video file in it")
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
        raise SourceOpenError(_DAMAGED.format(path)) from exc
    except FFMPEG_ERRORS as exc:
        raise SourceOpenError(f"{path} cannot be opened: {reason(exc)}") from exc
