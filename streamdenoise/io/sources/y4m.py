"""Frames from a yuv4mpegpipe stream, such as ``ffmpeg ... -f yuv4mpegpipe -``."""

import io
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Self

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.errors import SourceLostError, SourceOpenError
from streamdenoise.frame import Frame, Original
from streamdenoise.imaging.original import seen_planes
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.imaging.planar import PlanarFormat
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.memory_limit import check_memory
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.timeouts import TimedReader
from streamdenoise.io.y4m import (
    FRAME_MAGIC,
    MAX_LINE_BYTES,
    frame_bytes,
    parse_header,
    stream_format,
)

_BYTES_PER_PX = 16
"""Of a frame of 4:2:0 and 8 bits, and of those in queues."""


class Y4MSource(Closing):
    """Reads the header at once, and each frame on demand.

    A stream that ends within a frame yields the complete ones, and a note.
    """

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        options: ReadOptions,
    ) -> None:
        self._stream = stream
        self._name = name
        self._skipped = 0
        try:
            line = self._line()
            if line is None:
                raise ValueError("it ended before the header; check the command")
            self._stream_info = info = parse_header(line)
            check_memory(name, info.width, info.height, _BYTES_PER_PX)
        except SourceOpenError:
            stream.close()
            raise
        except (ValueError, OSError) as exc:
            stream.close()
            raise SourceOpenError(f"{name} cannot be read: {reason(exc)}") from exc
        step = self._stream_info.time_base
        self._first = -int(-options.start_s // step)
        self._stop: int | None = None
        if options.duration_s is not None:
            end_s = options.start_s + options.duration_s
            self._stop = -int(-end_s // step)
        self._pix_fmt = options.pix_fmt or info.pix_fmt
        original = info.original_pix_fmt
        self._keeps_original = options.keep_original and options.pix_fmt is None
        notes = []
        if original is not None and not self._keeps_original:
            notes.append(f"{name}: {original} is converted to {self._pix_fmt}")
        if info.interlace in ("t", "b", "m"):
            notes.append(f"{name}: interlaced video is denoised as whole frames")
        self.info = replace(
            info,
            pix_fmt=self._pix_fmt,
            original_pix_fmt=original if self._keeps_original else None,
            notes=tuple(notes),
        )
        self._frames = self._read_frames()

    @classmethod
    def from_stdin(
        cls,
        options: ReadOptions,
    ) -> Self:
        """Read standard input.

        Raises:
            SourceOpenError: It is a terminal, or not yuv4mpegpipe.
        """
        if sys.stdin is None or sys.stdin.isatty():
            raise SourceOpenError(
                "stdin is a terminal, not a video; pipe one in with "
                "ffmpeg -i IN -f yuv4mpegpipe - | streamdenoise ..."
            )
        reader = TimedReader(sys.stdin.fileno(), options.timeout_s, close_fd=False)
        return cls(io.BufferedReader(reader, 1 << 16), "stdin", options)

    @property
    def skipped(self) -> int:
        """Frames that were incomplete."""
        return self._skipped

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None:
        self._stream.close()

    def _read_frames(self) -> Iterator[Frame]:
        info = self._stream_info
        size = frame_bytes(info)
        position = index = 0
        while self._stop is None or position < self._stop:
            data = self._read_frame(size, position)
            if data is None:
                return
            if position >= self._first:
                own = _split(data, stream_format(info), info.width, info.height)
                original = None
                if info.original_pix_fmt is not None:
                    seen = seen_planes(
                        own, info.original_pix_fmt, info.pix_fmt, info.color
                    )
                    if self._keeps_original:
                        original = Original(
                            own, info.original_pix_fmt, info.color, seen
                        )
                    own = seen
                planes, color = convert_planes(
                    own, info.pix_fmt, self._pix_fmt, info.color
                )
                yield Frame(
                    planes=planes,
                    pix_fmt=self._pix_fmt,
                    color=color,
                    pts=position,
                    time_base=info.time_base,
                    index=index,
                    captured_at=time.monotonic(),
                    original=original,
                )
                index += 1
            position += 1

    def _read_frame(self, size: int, position: int) -> bytearray | None:
        try:
            line = self._line()
            if line is None:
                return None
            if line != FRAME_MAGIC and not line.startswith(FRAME_MAGIC + b" "):
                raise ValueError("a FRAME header is missing")
            # Grows with the data, not with the size that a header promises.
            data = bytearray()
            while len(data) < size:
                part = self._stream.read(min(size - len(data), 1 << 24))
                if not part:
                    break
                data += part
        except (ValueError, OSError) as exc:
            raise SourceLostError(
                f"{self._name} was lost after frame {position}: {reason(exc)}; "
                "check the program that writes it"
            ) from exc
        if len(data) < size:
            self._skipped += 1
            note = f"{self._name}: ended within frame {position}, which is left out"
            self.info = replace(self.info, notes=(*self.info.notes, note))
            return None
        return data

    def _line(self) -> bytes | None:
        """A line without its line feed; None at the end of the stream."""
        line = self._stream.readline(MAX_LINE_BYTES)
        if not line:
            return None
        if not line.endswith(b"\n"):
            if len(line) < MAX_LINE_BYTES:
                raise ValueError("it ended within a header")
            raise ValueError(f"a header is longer than {MAX_LINE_BYTES} bytes")
        return line[:-1]


def _split(
    data: bytearray, form: PlanarFormat, width: int, height: int
) -> tuple[np.ndarray, ...]:
    dtype = np.dtype(np.uint8 if form.depth == 8 else "<u2")
    planes, offset = [], 0
    for shape in form.plane_shapes(width, height):
        count = shape[0] * shape[1]
        plane = np.frombuffer(data, dtype, count, offset).reshape(shape)
        if form.depth not in (8, 16):
            plane = np.minimum(plane, form.peak)  # unused bits may have any value
        planes.append(plane)
        offset += count * dtype.itemsize
    return tuple(planes)
