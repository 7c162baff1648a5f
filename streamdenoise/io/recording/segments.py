"""Continuous recording to segments, deleting the oldest ones."""

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from threading import Thread

from streamdenoise.contexts import Completing
from streamdenoise.errors import ConfigError, SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.options import EncoderConfig, fast_encoder
from streamdenoise.io.recording.names import SegmentNames
from streamdenoise.io.recording.retention import Keep, Recording, oldest_first
from streamdenoise.io.sinks.file import FileSink, is_disk_full

log = logging.getLogger(__name__)

# Containers that stay playable wherever the recording breaks off.
SUFFIXES = (".mkv", ".mp4", ".mov", ".ts")

# A larger jump of the timestamps, in seconds, begins a new segment.
_GAP_S = 10

# Longest wait for a segment to be completed; after that, recording continues anyway.
_PATIENCE_S = 5.0

# A temporary file that has not been written for this long was left by a crash.
_LEFTOVER_S = 10.0


class SegmentSink(Completing):
    """Writes a live stream to files of equal length, named after the local time.

    As with FFmpeg's ``-f segment -segment_time`` (also in Frigate), the length of
    segments follows the timestamps of the frames, counting from the first frame and not
    from the full hour, so that clock changes do not cut or stretch a segment. The name
    is the local time at its start. A new segment also begins when timestamps jump or
    the frame size changes. Each is a complete file that begins with a key frame at
    time 0.

    While a segment is written, a thread completes the previous one and deletes
    recordings beyond the limits of `keep`. With any limit, it also deletes recordings
    when the disk has no room for the next segment. It deletes the oldest first, only
    files whose names match `pattern`, and never the current one. Segments left behind
    by a crash get their final names.

    After a `SinkError` the next frame begins a new segment.

    Args:
        pattern: A path with strftime fields; its folders are created.
        info: Size and format of the first frames.
        segment_s: Length of a segment in seconds, at least 1.
        keep: Limits on age and size.
        encoder: None selects x264 with a fast preset.
        now: Returns the local time.

    Raises:
        ConfigError: `pattern` has no time or an unknown field, or `segment_s` is too
            short.
        SinkError: The extension is not one of `SUFFIXES`, or the folder cannot be
            created.
    """

    def __init__(
        self,
        pattern: str,
        info: StreamInfo,
        *,
        segment_s: float,
        keep: Keep,
        encoder: EncoderConfig | None = None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        if not segment_s >= 1:
            raise ConfigError(f"--segment {segment_s:g} is too short; use 1 s or more")
        self._names = check_pattern(pattern)
        self._pattern = pattern
        self._make_folder(self._names.root)
        self._info = info
        self._length = Fraction(segment_s).limit_denominator(10**6)
        self._keep = keep
        self._encoder = fast_encoder(pattern, encoder)
        self._now = now
        self.notes: tuple[str, ...] = ()
        self._sink: FileSink | None = None
        self._shape: tuple[object, ...] = ()
        self._last = self._end = Fraction(0)
        self._finisher: Thread | None = None
        self._finisher_due = 0.0
        self._failure: SinkError | None = None
        # Temporary names of segments that are not complete yet.
        self._unfinished: set[Path] = set()
        self._undeletable: set[Path] = set()
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Record one frame; a frame not later than the previous one is skipped.

        Raises:
            SinkError: It cannot be written, and no old segment may be deleted to make
                room.
        """
        if self._closed:
            raise ValueError("the sink is closed")
        moment = frame.pts * frame.time_base
        step = moment - self._last
        if self._sink is not None:
            if -_GAP_S <= step <= 0:
                return
            if abs(step) > _GAP_S or _shape(frame) != self._shape:
                self._wait()
                self._switch(frame, moment)
            elif moment >= self._end and self._wait():
                self._switch(frame, moment)
        self._write(frame, moment)
        self._last = moment

    def _write(self, frame: Frame, moment: Fraction) -> None:
        while True:
            try:
                if self._sink is None:
                    self._wait()  # it may delete the folder that is created here
                    self._begin(frame, moment)
                assert self._sink is not None
                self._sink.write(frame)
            except SinkError as exc:
                self._drop_segment()
                if not is_disk_full(exc.__cause__):
                    raise
                if not self._delete_oldest():
                    raise SinkError(self._full_message()) from exc
            else:
                return

    def _switch(self, frame: Frame, moment: Fraction) -> None:
        before, self._sink = self._sink, None
        assert before is not None
        try:
            self._begin(frame, moment)
        except SinkError as exc:
            log.warning("%s", exc)  # the following write tries again
        self._finish(before)

    def _begin(self, frame: Frame, moment: Fraction) -> None:
        # Without a time zone, strftime would leave %z empty.
        path = self._names.free_path(self._now().astimezone())
        self._make_folder(path.parent)
        info = replace(
            self._info,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.pix_fmt,
            time_base=frame.time_base,
            is_live=True,
        )
        is_first = self._finisher is None
        sink = FileSink(path, info, encoder=self._encoder, start_s=float(moment))
        self._unfinished.add(sink.partial_path)
        self._sink = sink
        self._shape = _shape(frame)
        # On a grid: otherwise each segment would be up to a frame too long.
        follows = self._end <= moment < self._end + self._length
        self._end = (self._end if follows and not is_first else moment) + self._length
        if is_first:
            self.notes = sink.notes
            self._finish(None)

    def _finish(self, sink: FileSink | None) -> None:
        """Complete a segment and delete old ones, in another thread."""
        self._finisher = Thread(
            target=self._finish_and_clean_up,
            args=(sink,),
            name=f"finish {self._pattern}",
            daemon=True,
        )
        self._finisher_due = time.monotonic() + _PATIENCE_S
        self._finisher.start()

    def _finish_and_clean_up(self, sink: FileSink | None) -> None:
        if sink is not None:
            try:
                sink.close()
            except SinkError as exc:
                self._failure = exc
                log.warning("%s", exc)
            self._unfinished.discard(sink.partial_path)
        if not self._closed:
            self._adopt_leftovers()
            self._apply_limits()

    def _wait(self) -> bool:
        """Wait for the previous segment, and return whether it is complete."""
        if self._finisher is not None:
            self._finisher.join(max(0.0, self._finisher_due - time.monotonic()))
        return self._finisher is None or not self._finisher.is_alive()

    def _drop_segment(self) -> None:
        """End the current segment after a failure, and keep the part written so far."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abort()
            self._unfinished.discard(sink.partial_path)

    def _adopt_leftovers(self) -> None:
        """Give segments that were left by a crash their final names."""
        for each in list(self._names.find()):
            if not self._names.is_partial(each.path) or self._is_being_written(each):
                continue
            try:
                if each.size_bytes == 0:
                    self._names.delete(each.path)
                else:
                    each.path.rename(self._names.final_path(each.path))
            except OSError as exc:
                self._warn_once(each.path, f"cannot be renamed: {reason(exc)}")

    def _apply_limits(self) -> None:
        if not self._keep:
            return
        finished: list[Recording] = []
        present_bytes = 0
        for each in self._names.find():
            if self._is_being_written(each):
                present_bytes += each.size_bytes
            else:
                finished.append(each)
        for path in self._keep.excess(
            finished,
            now_s=self._now().timestamp(),
            present_bytes=present_bytes,
            shortfall_bytes=self._shortfall(finished),
        ):
            self._delete(path)

    def _shortfall(self, finished: list[Recording]) -> int:
        """Bytes that the disk lacks for two more segments like the last one.

        If the disk fills up in the middle of a segment, frames are lost.
        """
        if not finished:
            return 0
        last = oldest_first(finished, self._now().timestamp())[-1]
        try:
            return 2 * last.size_bytes - shutil.disk_usage(self._names.root).free
        except OSError:
            return 0

    def _delete_oldest(self) -> bool:
        """Delete the oldest recording, and return whether there was one."""
        if not self._keep:
            return False
        return any(
            self._delete(each.path)
            for each in oldest_first(self._names.find(), self._now().timestamp())
            if not self._is_being_written(each)
        )

    def _is_being_written(self, recording: Recording) -> bool:
        """Whether this job, or another with the same names, is writing it."""
        if recording.path in self._unfinished:
            return True
        # After a clock change the time may be negative.
        idle_s = abs(self._now().timestamp() - recording.modified_s)
        return self._names.is_partial(recording.path) and idle_s < _LEFTOVER_S

    def _delete(self, path: Path) -> bool:
        try:
            self._names.delete(path)
        except OSError as exc:
            self._warn_once(path, f"cannot be deleted: {reason(exc)}")
            return False
        log.info("deleted %s", path)
        return True

    def _warn_once(self, path: Path, text: str) -> None:
        if path not in self._undeletable:
            self._undeletable.add(path)
            log.warning("%s %s", path, text)

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SinkError(
                f"{self._pattern} cannot be recorded: the folder {folder} cannot be "
                f"created ({reason(exc)}); choose another folder"
            ) from exc

    def _full_message(self) -> str:
        remedy = (
            "nothing is left to delete; free some space"
            if self._keep
            else "free some space, or delete old segments with --keep"
        )
        return f"{self._pattern} cannot be recorded: the disk is full; {remedy}"

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._wait()
        sink, self._sink = self._sink, None
        if sink is None:
            return
        self._failure = None
        self._finish(sink)
        if not self._wait():
            raise SinkError(
                f"{self._pattern} cannot be completed: the disk has not responded for "
                f"{_PATIENCE_S:g} s; the part written so far is kept as "
                f"{sink.partial_path}"
            )
        if self._failure is not None:
            raise self._failure

    def abort(self) -> None:
        """Same as `close`, without raising: a segment never replaces a file."""
        with suppress(SinkError):
            self.close()


def check_pattern(pattern: str) -> SegmentNames:
    """Parse the pattern of recordings' names.

    Raises:
        ConfigError: `pattern` has no time, or an unknown field.
        SinkError: Its extension is not one of `SUFFIXES`.
    """
    names = SegmentNames(pattern)
    if Path(pattern).suffix.lower() not in SUFFIXES:
        raise SinkError(
            f"{pattern} cannot be recorded in segments: its extension must be one of "
            f"{', '.join(SUFFIXES)}"
        )
    return names


def _shape(frame: Frame) -> tuple[object, ...]:
    return frame.width, frame.height, frame.pix_fmt
