"""The recorded files of a camera: found by name in its own folders, nowhere else."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.io.recording.names import SegmentNames, is_partial
from streamdenoise.io.url import is_network
from streamdenoise.jobs.recorder import recording_names
from streamdenoise.serve.config.camera import CameraConfig
from streamdenoise.serve.service import UnknownCameraError
from streamdenoise.serve.states import Recording

_PLAYABLE = (".mp4", ".m4v", ".mov", ".webm")
"""Containers that browsers play."""


def segment_names(config: CameraConfig) -> Iterator[SegmentNames]:
    """The names of each output of a camera that is recorded in segments."""
    for target in config.live.outputs:
        if config.live.segment_s is not None and not is_network(target):
            with suppress(ConfigError):  # a plain file
                yield SegmentNames(target)


class Recordings:
    """The files that a camera has recorded, in segments and by hand."""

    def __init__(self, name: str, config: CameraConfig) -> None:
        """Look in the folders of `config` for files of the camera `name`."""
        self._names = list(segment_names(config))
        folder = config.recordings
        if folder is None and self._names:
            folder = self._names[0].root
        # Cameras may share a folder: the name tells whose file it is.
        self.by_hand = None if folder is None else recording_names(folder, name)
        """Names of recordings that are started by hand; None if there is no folder."""
        if self.by_hand is not None:
            self._names.append(self.by_hand)

    def all(self) -> Sequence[Recording]:
        """All finished files, newest first."""
        found: list[Recording] = []
        for names, recording_id, path in self._paths():
            with suppress(OSError):  # it was deleted meanwhile
                status = path.stat()
                found.append(
                    Recording(
                        id=recording_id,
                        time=began_at(names, path) or status.st_mtime,
                        size_bytes=status.st_size,
                        playable=path.suffix.lower() in _PLAYABLE,
                    )
                )
        return sorted(found, key=lambda each: each.time, reverse=True)

    def path(self, recording_id: str) -> Path:
        """The file of this id.

        What is asked for is only compared with what is found, and links are not
        followed: no id leads out of the folders.

        Raises:
            UnknownCameraError: There is none.
        """
        return self._find(recording_id)[1]

    def delete(self, recording_id: str) -> None:
        """Delete a file, and dated folders that are empty then.

        Raises:
            UnknownCameraError: There is no such file.
            OSError: It cannot be deleted.
        """
        names, path = self._find(recording_id)
        names.delete(path)

    def _find(self, recording_id: str) -> tuple[SegmentNames, Path]:
        for names in self._names:
            for path in names.find():
                if not is_partial(path) and _id(names, path) == recording_id:
                    return names, path
        raise UnknownCameraError("there is no such recording; it may be deleted")

    def _paths(self) -> Iterator[tuple[SegmentNames, str, Path]]:
        seen: set[str] = set()
        for names in self._names:
            for path in names.find():
                recording_id = _id(names, path)
                if not is_partial(path) and recording_id not in seen:
                    seen.add(recording_id)
                    yield names, recording_id, path


def began_at(names: SegmentNames, path: Path) -> float | None:
    """The time in the name of a file; None if it is not all there."""
    stem = re.sub(r"-n\d{1,6}$", "", path.stem)
    relative = path.with_name(stem + path.suffix).relative_to(names.root).as_posix()
    if not {"%H", "%M"} <= set(re.findall("%.", names.relative)):
        return None
    try:
        return datetime.strptime(relative, names.relative).timestamp()
    except (ValueError, OverflowError):
        return None


def _id(names: SegmentNames, path: Path) -> str:
    return path.relative_to(names.root).as_posix()
