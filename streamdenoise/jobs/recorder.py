"""Recordings that a key starts and stops while a live stream is watched."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Lock

from streamdenoise.contexts import Closing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig, fast_encoder
from streamdenoise.io.output_folders import make_folder
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording.names import SegmentNames

log = logging.getLogger(__name__)


def recording_names(folder: Path, name: str = "streamdenoise") -> SegmentNames:
    """What the recordings in a folder are called; `name` is how they begin."""
    path = str(folder / name).replace("%", "%%")
    return SegmentNames(f"{path}-%Y%m%d-%H%M%S.mp4")


class Recorder(Closing):
    """A sink that writes files named by time while it is switched on.

    A recording that fails ends with a note; the live view continues.

    Attributes:
        failures: How many recordings have failed.
        error: Why the last of them did.
        missing: Frames that the current or last recording lacks.
    """

    def __init__(
        self,
        info: StreamInfo,
        encoder: EncoderConfig | None = None,
        names: SegmentNames | None = None,
        now: Callable[[], datetime] = datetime.now,
        sound: Sound | None = None,
    ) -> None:
        self._sound = sound
        self.notes: tuple[str, ...] = ()
        self._info = info
        self._encoder = fast_encoder(".mp4", encoder)
        self._names = names or recording_names(Path())
        self._now = now
        self._lock = Lock()
        self._wanted = False
        self._sink: Sink | None = None
        self._path = Path()
        self._last_index = 0
        self.failures, self.error, self.missing = 0, "", 0

    @property
    def is_recording(self) -> bool:
        return self._wanted

    def toggle(self) -> None:
        """Start a new file with the next frame, or finish the current one."""
        with self._lock:
            self._wanted = not self._wanted
            if not self._wanted:
                self._end()

    def write(self, frame: Frame) -> None:
        """Record `frame` if recording is on."""
        with self._lock:
            if not self._wanted:
                return
            try:
                if self._sink is None:
                    self._sink = self._begin(frame)
                else:
                    self.missing += max(0, frame.index - self._last_index - 1)
                self._last_index = frame.index
                self._sink.write(frame)
            except (SinkError, ValueError) as exc:
                self._wanted = False
                if self._sink is not None:
                    self._sink.abort()
                    self._sink = None
                self._fail(exc)

    def close(self) -> None:
        """Finish the current file; may be called again."""
        with self._lock:
            self._wanted = False
            self._end()

    def abort(self) -> None:
        """Same as `close`: the recording is kept."""
        self.close()

    def _begin(self, frame: Frame) -> Sink:
        self.missing = 0
        self._path = self._names.free_path(self._now())
        make_folder(self._path.parent)
        info = replace(
            self._info,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.pix_fmt,
            time_base=frame.time_base,
        )
        return open_sink(
            str(self._path),
            info,
            encoder=self._encoder,
            start_s=frame.time_s,
            sound=self._sound,
        )

    def _end(self) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            sink.close()
        except SinkError as exc:
            self._fail(exc)
        else:
            lack = f"; {self.missing} frames were not written" if self.missing else ""
            self._note(f"recorded {self._path}{lack}")

    def _fail(self, exc: Exception) -> None:
        self.error = str(exc)
        self.failures += 1
        self._note(f"recording ended: {exc}")

    def _note(self, text: str) -> None:
        log.warning("%s", text)
        self.notes = (*self.notes, text)
