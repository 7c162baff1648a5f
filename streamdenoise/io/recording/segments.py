"""Continuous recording to segments, deleting the oldest ones."""

import logging
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
from streamdenoise.io.ffmpeg.errors import is_disk_full
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.options import EncoderConfig, fast_encoder
from streamdenoise.io.recording.archive import Archive
from streamdenoise.io.recording.disk import MountedFolder
from streamdenoise.io.recording.journal import Entry
from streamdenoise.io.recording.names import SegmentNames
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.sinks.file import FileSink
from streamdenoise.progress import Stage

log = logging.getLogger(__name__)

# Containers that stay playable wherever the recording breaks off.
SUFFIXES = (".mkv", ".mp4", ".mov", ".ts")

# A larger jump of the timestamps, in seconds, begins a new segment.
_GAP_S = 10

# Longest wait for a segment to be completed; after that, recording continues anyway.
_PATIENCE_S = 5.0

# Sources may send sound later than the frames of its time.
_SOUND_PATIENCE_S = 1.0

# How often it is checked that the disk is still mounted, and has space if `Keep` wants
# some: it takes a millisecond.
_CHECK_MOUNT_S = 1.0
_CHECK_SPACE_S = 10.0


class SegmentSink(Completing):
    """Writes a live stream to files of equal length, named after the local time.

    As with FFmpeg's ``-f segment -segment_time`` (also in Frigate), the length of
    segments follows the timestamps of the frames, counting from the first frame and not
    from the full hour, so that clock changes do not cut or stretch a segment. The name
    is the local time at its start. A new segment also begins when timestamps jump, or
    the frame size or the kind of sound changes. Each is a complete file that begins
    with a key frame at time 0, and sound is cut at the same moment.

    While a segment is written, a thread completes the previous one and deletes
    recordings beyond the limits of `keep`. With any limit, it also deletes recordings
    when the disk has no room for the next segment. It deletes the oldest first, only
    what the same job recorded, and never the current one, see `Archive`. Segments left
    behind by a crash get their final names, if there is a frame in them.

    After a `SinkError` the next frame begins a new segment.

    Args:
        pattern: A path with strftime fields; its folders are created.
        info: Size and format of the first frames.
        segment_s: Length of a segment in seconds, at least 1.
        keep: Limits on age and size.
        encoder: None selects x264 with a fast preset.
        source: Name of the source. A job is known by it and by `pattern`, and each one
            deletes only its own recordings.
        adopt: Take over recordings of earlier versions, and of jobs that do not run.
        disk: Watches the mount point, also for the sinks that follow this one.
        now: Returns the local time.
        stage: Gets the progress of the thread that completes segments, and of the disk.
        tap: Gets the packets of all segments, too.
        sound: The sound of the source.

    Raises:
        ConfigError: `pattern` has no time or an unknown field, or `segment_s` is too
            short.
        SinkError: The extension is not one of `SUFFIXES`, the folder cannot be
            created, or its disk is no longer mounted.
    """

    def __init__(
        self,
        pattern: str,
        info: StreamInfo,
        *,
        segment_s: float,
        keep: Keep,
        encoder: EncoderConfig | None = None,
        source: str = "",
        adopt: bool = False,
        disk: MountedFolder | None = None,
        now: Callable[[], datetime] = datetime.now,
        stage: Stage | None = None,
        tap: PacketTap | None = None,
        sound: Sound | None = None,
    ) -> None:
        if not segment_s >= 1:
            raise ConfigError(f"--segment {segment_s:g} is too short; use 1 s or more")
        names = check_pattern(pattern)
        self._pattern = pattern
        self._info = info
        self._length = Fraction(segment_s).limit_denominator(10**6)
        self._keep = keep
        self._encoder = fast_encoder(pattern, encoder)
        self._now = now
        self._stage = stage or Stage()
        self._tap = tap
        self._sound = sound
        self._has_proof = False
        self.notes: tuple[str, ...] = ()
        self._sink: FileSink | None = None
        self._entry: Entry | None = None
        self._shape: tuple[object, ...] = ()
        self._last = self._end = Fraction(0)
        self._finisher: Thread | None = None
        self._finisher_due = 0.0
        self._failure: SinkError | None = None
        self._mount_due = self._space_due = 0.0
        self._closed = False
        self._archive = Archive(
            names,
            source=source,
            keep=keep,
            adopt=adopt,
            disk=disk or MountedFolder(names.root),
            now=now,
        )

    @property
    def is_proven(self) -> bool:
        """Whether frames have reached the disk, and not only a cache."""
        sink = self._sink
        self._has_proof = self._has_proof or (sink is not None and sink.is_proven)
        return self._has_proof

    def write(self, frame: Frame) -> None:
        """Record one frame; a frame not later than the previous one is skipped.

        Raises:
            SinkError: It cannot be written, and no old segment may be deleted to make
                room.
        """
        if self._closed:
            raise ValueError("the sink is closed")
        self._check_disk()
        moment = frame.pts * frame.time_base
        step = moment - self._last
        if self._sink is not None:
            if -_GAP_S <= step <= 0:
                return
            is_other = _shape(frame) != self._shape or not self._sink.has_current_sound
            if abs(step) > _GAP_S or is_other:
                self._wait()
                self._switch(frame, moment)
            elif moment >= self._end and self._wait():
                self._switch(frame, moment)
        self._write(frame, moment)
        self._last = moment

    def _check_disk(self) -> None:
        now = time.monotonic()
        if now >= self._mount_due:
            self._mount_due = now + _CHECK_MOUNT_S
            try:
                self._archive.watch()
            except SinkError:
                self._drop_segment()
                raise
        is_free = self._finisher is not None and not self._finisher.is_alive()
        if self._keep.watches_disk and now >= self._space_due and is_free:
            self._space_due = now + _CHECK_SPACE_S
            self._finish(None, None)

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
                if not self._archive.delete_oldest():
                    raise SinkError(self._full_message()) from exc
            else:
                return

    def _switch(self, frame: Frame, moment: Fraction) -> None:
        before, entry = self._sink, self._entry
        self._sink = self._entry = None
        assert before is not None
        try:
            self._begin(frame, moment)
        except SinkError as exc:
            log.warning("%s", exc)  # the following write tries again
        self._finish(before, entry, frame)

    def _begin(self, frame: Frame, moment: Fraction) -> None:
        # Without a time zone, strftime would leave %z empty.
        entry, partial, tags = self._archive.begin(self._now().astimezone())
        info = replace(
            self._info,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.pix_fmt,
            time_base=frame.time_base,
            is_live=True,
        )
        is_first = self._finisher is None
        try:
            sink = FileSink(
                partial.target,
                info,
                encoder=self._encoder,
                start_s=float(moment),
                partial=partial,
                tags=tags,
                stage=self._stage,
                tap=self._tap,
                sound=self._sound,
            )
        except BaseException:
            self._archive.complete(entry)  # it has been removed
            raise
        self._sink, self._entry = sink, entry
        self._shape = _shape(frame)
        # On a grid: otherwise each segment would be up to a frame too long.
        follows = self._end <= moment < self._end + self._length
        self._end = (self._end if follows and not is_first else moment) + self._length
        if is_first:
            self.notes = sink.notes
            self._finish(None, None)

    def _finish(
        self,
        sink: FileSink | None,
        entry: Entry | None,
        following: Frame | None = None,
    ) -> None:
        """Complete a segment and delete old ones, in another thread.

        `following` is the first frame of the next one.
        """

        def finish() -> None:
            with self._stage.doing("finishing a segment"):
                if sink is not None and following is not None:
                    with suppress(SinkError):  # closing it fails, too
                        sink.write_sound(following, _SOUND_PATIENCE_S)
                self._finish_and_clean_up(sink, entry)

        self._finisher = Thread(
            target=finish,
            name=f"finish {self._pattern}",
            daemon=True,
        )
        self._finisher_due = time.monotonic() + _PATIENCE_S
        self._finisher.start()

    def _finish_and_clean_up(self, sink: FileSink | None, entry: Entry | None) -> None:
        if sink is not None and entry is not None:
            try:
                sink.close()
            except SinkError as exc:
                self._failure = exc
                log.warning("%s", exc)
            self._archive.complete(entry)
        if not self._closed:
            self._archive.clean_up()

    def _wait(self) -> bool:
        """Wait for the previous segment, and return whether it is complete."""
        if self._finisher is not None:
            self._finisher.join(max(0.0, self._finisher_due - time.monotonic()))
        return self._finisher is None or not self._finisher.is_alive()

    def _drop_segment(self) -> None:
        """End the current segment after a failure, and keep the part written so far."""
        sink, entry = self._sink, self._entry
        self._sink = self._entry = None
        if sink is not None and entry is not None:
            sink.abort()
            self._archive.complete(entry)

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
        try:
            self._close()
        finally:
            self._archive.close()

    def _close(self) -> None:
        self._wait()
        sink, entry = self._sink, self._entry
        self._sink = self._entry = None
        if sink is None:
            return
        self._failure = None
        self._finish(sink, entry)
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
