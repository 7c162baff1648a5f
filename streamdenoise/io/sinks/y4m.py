"""Frames as a yuv4mpegpipe stream, to a pipe or a file."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.original import restored
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.imaging.planar import planar_format
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.ffmpeg.pixel_formats import original_pix_fmt
from streamdenoise.io.sinks.partial_file import PartialFile
from streamdenoise.io.y4m import FRAME_MAGIC, Y4MStreamInfo, can_hold, format_header


class Y4MSink(Completing):
    """Writes planes unchanged, but converts RGB to yuv420p.

    The format has no RGB, alpha only in 4:4:4 of 8 bits, and no timestamps: frames
    follow each other at the rate of the header. The sink writes directly to the
    descriptor, so that a closed pipe raises an error immediately and not at the end of
    the process.
    """

    def __init__(
        self, fd: int, info: StreamInfo, name: str, partial: PartialFile | None = None
    ) -> None:
        self._fd = fd
        self._name = name
        self._partial = partial
        self._closed = False
        self._info = info
        self._pix_fmt = "yuv420p" if info.pix_fmt == "rgb24" else info.pix_fmt
        self._original = _held(info.original_pix_fmt)
        self._frames = 0
        self._last: tuple[int, int] | None = None
        self._has_variable_rate = False
        header = replace(info, original_pix_fmt=self._original)
        if self._pix_fmt != info.pix_fmt:
            header = Y4MStreamInfo(
                info.width,
                info.height,
                self._pix_fmt,
                info.frame_rate,
                sample_aspect=info.sample_aspect,
            )
        self._write(format_header(header))

    @classmethod
    def to_stdout(cls, info: StreamInfo) -> Self:
        """Write to the process's standard output.

        Raises:
            SinkError: It is a terminal, or the reading program has closed it.
        """
        if sys.stdout is None or sys.stdout.isatty():
            raise SinkError(
                "stdout is a terminal, not a pipe; append | ffmpeg -i - OUT, "
                "or give a file name with -o"
            )
        sys.stdout.flush()
        return cls(sys.stdout.fileno(), info, "stdout")

    @classmethod
    def to_file(cls, path: Path, info: StreamInfo, *, overwrite: bool) -> Self:
        """Write to a file, which has a temporary name until `close`.

        Raises:
            SinkError: The file exists and `overwrite` is False, or it is not writable.
        """
        partial = PartialFile(path, overwrite=overwrite)
        flags = os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        return cls(os.open(partial.path, flags), info, str(path), partial)

    @property
    def notes(self) -> tuple[str, ...]:
        notes = []
        given = self._info.original_pix_fmt
        if given != self._original:
            stored = self._original or self._pix_fmt
            notes.append(
                f"{self._name}: {given} is stored as {stored}, as yuv4mpegpipe has no "
                "such format"
            )
        if self._has_variable_rate:
            notes.append(
                f"{self._name}: yuv4mpegpipe has no timestamps, so the variable frame "
                "rate of this video is lost"
            )
        return tuple(notes)

    def write(self, frame: Frame) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        self._info.check(frame)
        planes = self._planes(frame)
        self._write(FRAME_MAGIC + b"\n")
        for plane in planes:
            self._write(np.ascontiguousarray(plane).data.cast("B"))
        self._detect_variable_rate(frame)
        self._frames += 1

    def _planes(self, frame: Frame) -> tuple[np.ndarray, ...]:
        form = planar_format(self._original or "")
        if form is None or frame.original is None:
            return convert_planes(
                frame.planes, frame.pix_fmt, self._pix_fmt, frame.color
            )[0]
        planes = restored(frame.original, frame.planes, frame.pix_fmt, frame.color)
        return planes[: form.colors + form.has_alpha]

    def close(self) -> None:
        if (partial := self._end()) is not None:
            partial.commit()

    def abort(self) -> None:
        if (partial := self._end()) is not None:
            partial.give_up(is_recording=self._info.is_live)

    def _end(self) -> PartialFile | None:
        """Close the file and return it, unless it is closed already or empty."""
        was_closed, self._closed = self._closed, True
        if was_closed or self._partial is None:
            return None
        os.close(self._fd)
        if self._frames:
            return self._partial
        self._partial.discard()
        return None

    def _detect_variable_rate(self, frame: Frame) -> None:
        """Detect a variable rate: consecutive steps that differ by more than half."""
        if self._last is not None:
            pts, step = self._last
            new_step = frame.pts - pts
            self._has_variable_rate |= bool(step) and abs(new_step - step) * 2 > step
            self._last = (frame.pts, new_step)
        else:
            self._last = (frame.pts, 0)

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BrokenPipeError as exc:
            raise SinkError(
                f"{self._name} was closed by the program that reads it; "
                "check that program's messages"
            ) from exc
        except OSError as exc:
            kept = "" if self._partial is None else f"; kept as {self._partial.path}"
            raise SinkError(
                f"{self._name} cannot be written: {reason(exc)}{kept}"
            ) from exc


def _held(pix_fmt: str | None) -> str | None:
    """The format that holds all of `pix_fmt`, but perhaps its alpha; None if none."""
    if pix_fmt is None:
        return None
    names = (pix_fmt, pix_fmt.replace("yuva", "yuv").replace("ya", "gray"))
    held = next(filter(can_hold, names), None)
    return None if held is None or original_pix_fmt(held) is None else held
