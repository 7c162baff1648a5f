"""Images: a single file, or a folder with one for each frame."""

import re
from pathlib import Path

import cv2

from streamdenoise.contexts import Closing
from streamdenoise.errors import SinkError, SourceOpenError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.options import IMAGE_SUFFIXES
from streamdenoise.io.sinks.partial_file import PartialFile
from streamdenoise.io.sources.image import image_paths

# High enough that more bytes make no visible difference.
_QUALITY = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 95],
}
_NUMBER = re.compile(r"%0?\d*d")


class ImageSink(Closing):
    """Writes each frame as an 8-bit RGB image.

    A file name takes one frame. A pattern such as ``out/%05d.png`` is numbered with
    `Frame.index`. In a folder, images are named like those of `names_from`, or
    ``000000.png`` and so on. Each has a temporary name until it is complete.

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
        self._numbered = _NUMBER.search(path.name) is not None
        self._single = path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()
        self._single &= not self._numbered
        self.notes: tuple[str, ...] = ()
        if self._single:
            PartialFile(path, overwrite=overwrite).discard()
            return
        folder = path.parent if self._numbered else path
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SinkError(
                f"{folder} cannot be created: {reason(exc)}; choose another folder"
            ) from exc
        if names_from is not None and not self._numbered:
            self._names = _names(names_from)
        taken = [name for name in self._names if (path / name).exists()]
        if taken and not overwrite:
            raise SinkError(
                f"{path / taken[0]} already exists; add --overwrite to replace it"
            )

    def write(self, frame: Frame) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        if self._single and self._frames:
            raise SinkError(
                f"{self._pattern} can hold one image, but the input has more frames; "
                "give a folder or a pattern such as %05d.png"
            )
        path = self._path(frame.index)
        bgr = cv2.cvtColor(frame_to_rgb(frame), cv2.COLOR_RGB2BGR)
        suffix = path.suffix.lower()
        done, data = cv2.imencode(suffix, bgr, _QUALITY.get(suffix, []))
        if not done:
            raise SinkError(
                f"{path} cannot be encoded at {frame.width}x{frame.height}; use .png"
            )
        partial = PartialFile(path, overwrite=self._overwrite)
        try:
            partial.path.write_bytes(data.tobytes())
        except OSError as exc:
            partial.discard()
            raise SinkError(
                f"{path} cannot be written: {reason(exc)}; check the folder and its "
                "free space"
            ) from exc
        partial.commit()
        self._frames += 1

    def close(self) -> None:
        self._closed = True

    def abort(self) -> None:
        """Same as `close`: every image is complete as soon as it is written."""
        self._closed = True

    def _path(self, index: int) -> Path:
        if self._single:
            return self._pattern
        if self._numbered:
            name = _NUMBER.sub(lambda m: m[0] % index, self._pattern.name)
            return self._pattern.with_name(name)
        if index < len(self._names):
            return self._pattern / self._names[index]
        return self._pattern / f"{index:06d}.png"


def _names(source: Path) -> list[str]:
    if source.suffix.lower() not in IMAGE_SUFFIXES and not source.is_dir():
        return []  # frames of a video have no names
    try:
        return [path.name for path in image_paths(source)]
    except SourceOpenError:
        return []
