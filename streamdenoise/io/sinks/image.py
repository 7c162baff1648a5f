"""Images: a single file, an animation, or a folder with one for each frame."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError, SourceOpenError
from streamdenoise.frame import Frame, Still, StreamInfo
from streamdenoise.imaging.color import frame_to_picture
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.image_paths import has_number, image_paths, is_image, numbered
from streamdenoise.io.output_folders import make_folder
from streamdenoise.io.pictures.picture import MULTIPAGE_SUFFIXES
from streamdenoise.io.pictures.writing import PictureWriter
from streamdenoise.io.sinks.partial_file import PartialFile
from streamdenoise.security.memory import as_gigabytes, available_memory

_ANIMATIONS = (".gif", ".webp", ".apng")
"""What video may become; other files take the pages of a file with several."""
_MOST_BYTES = 4 << 30
"""Of samples that are kept until a file of several pictures is complete."""


class ImageSink(Completing):
    """Writes each frame as an image, with all that its own file held.

    A file name takes one frame, or all pictures of a file with several where the format
    can hold them. A pattern such as ``out/%05d.png`` is numbered with `Frame.index`, or
    as the sequence that was read. In a folder, images are named like those of
    `names_from`, or ``000000.png`` and so on. Each has a temporary name until it is
    complete.

    Raises:
        SinkError: A file would be overwritten, or the folder cannot be created.
    """

    def __init__(
        self,
        path: Path,
        info: StreamInfo,
        *,
        names_from: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self._overwrite = overwrite
        self._pattern = path
        self._names: list[str] = []
        self._frames = 0
        self._closed = False
        self._notes: list[str] = []
        self._numbered = has_number(path)
        self._single = is_image(path) and not os.path.isdir(path) and not self._numbered
        self._pages: list[Frame] = []
        self._bytes = 0
        if self._single:
            PartialFile(path, overwrite=overwrite).discard()
            return
        folder = path.parent if self._numbered else path
        make_folder(folder)
        if names_from is not None and not self._numbered:
            self._names = _names(names_from)
        taken = [name for name in self._names if os.path.exists(path / name)]
        if taken and not overwrite:
            raise SinkError(
                f"{path / taken[0]} already exists; add --overwrite to replace it"
            )

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def write(self, frame: Frame) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        if not self._single:
            self._write(self._path(frame), [frame])
            return
        if self._frames and not self._takes_more(frame):
            raise SinkError(
                f"{self._pattern} can hold one image, but the input has more frames; "
                "give a folder or a pattern such as %05d.png"
            )
        self._pages.append(frame)
        self._bytes += sum(plane.nbytes for plane in frame.planes)
        if self._bytes > min(_MOST_BYTES, available_memory() / 2):
            self._pages.clear()
            raise SinkError(
                f"{self._pattern} would need more than {as_gigabytes(self._bytes)} of "
                "memory; write a video, such as .mp4, or a folder of images"
            )
        if not self._takes_more(frame):
            self._flush()
        self._frames += 1

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._flush()

    def abort(self) -> None:
        """Leave out a file that is not complete; every other one is."""
        self._closed = True
        self._pages.clear()

    def _takes_more(self, frame: Frame) -> bool:
        suffix = self._pattern.suffix.lower()
        if frame.still is not None:
            return frame.still.pages > 1 and suffix in MULTIPAGE_SUFFIXES
        return suffix in _ANIMATIONS

    def _flush(self) -> None:
        if self._pages:
            pages, self._pages = self._pages, []
            self._write(self._pattern, pages)

    def _write(self, path: Path, frames: list[Frame]) -> None:
        # One note stands for all images of a folder.
        writer = PictureWriter(str(self._pattern), path.suffix)
        data = writer.encode([_picture(each) for each in frames], _durations_ms(frames))
        self._notes += [each for each in writer.notes if each not in self._notes]
        partial = PartialFile(path, overwrite=self._overwrite)
        try:
            partial.path.write_bytes(data)
        except OSError as exc:
            partial.discard()
            raise SinkError(
                f"{path} cannot be written: {reason(exc)}; check the folder and its "
                "free space"
            ) from exc
        partial.commit()

    def _path(self, frame: Frame) -> Path:
        if self._numbered:
            number = None if frame.still is None else frame.still.number
            return numbered(self._pattern, frame.index if number is None else number)
        if frame.index < len(self._names):
            return self._pattern / self._names[frame.index]
        return self._pattern / f"{frame.index:06d}.png"


def _picture(frame: Frame) -> tuple[np.ndarray, Still]:
    samples = frame_to_picture(frame)
    still = frame.still or Still(Path())
    if still.alpha is not None and still.alpha.shape != samples.shape[:2]:
        # Two frames side by side.
        still = replace(still, alpha=None)
    return samples, still


def _durations_ms(frames: list[Frame]) -> list[float]:
    """How long each frame is shown; empty if they are pages, not an animation."""
    if len(frames) < 2:
        return []
    durations = [
        Fraction(frame.duration or 0) * frame.time_base
        or later.pts * later.time_base - frame.pts * frame.time_base
        for frame, later in zip(frames, [*frames[1:], frames[-1]], strict=True)
    ]
    durations[-1] = durations[-1] or durations[-2]
    return [float(1000 * each) for each in durations]


def _names(source: Path) -> list[str]:
    if not is_image(source) and not os.path.isdir(source):
        return []  # frames of a video have no names
    try:
        return [path.name for path in image_paths(source)]
    except SourceOpenError:
        return []
