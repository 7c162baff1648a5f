"""Still pictures: one, or a folder of them in natural order."""

import re
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.errors import SourceOpenError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo, size_fault
from streamdenoise.imaging.pix_fmt import convert_picture
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.options import IMAGE_SUFFIXES, ReadOptions

_RGB = ColorInfo(matrix=0, range=2)
_DIGITS = re.compile(r"(\d+)")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class ImageSource(Closing):
    """One frame a picture, rgb24 unless another format is asked for.

    Each keeps its own size. A picture of a folder that cannot be read is left out,
    counted and named in the notes; `Frame.index` then has a gap.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._pix_fmt = options.pix_fmt or "rgb24"
        self._paths = image_paths(path)
        self._lenient = len(self._paths) > 1 or path.is_dir()
        self._notes: list[str] = []
        self._skipped = 0
        self._frames = self._read()
        first = next(self._frames, None)
        if first is None:
            raise SourceOpenError(
                f"{path}: none of its {len(self._paths)} pictures can be read; "
                f"the first: {self._notes[0]}"
            )
        self._pending: Frame | None = first
        self.info = StreamInfo(
            width=first.width,
            height=first.height,
            pix_fmt=first.pix_fmt,
            time_base=Fraction(1, 25),
            color=first.color,
            num_frames=len(self._paths),
            notes=tuple(self._notes),
        )

    @property
    def skipped(self) -> int:
        """Pictures that could not be read."""
        return self._skipped

    def __iter__(self) -> Iterator[Frame]:
        if self._pending is not None:
            first, self._pending = self._pending, None
            yield first
        for frame in self._frames:
            self.info = replace(self.info, notes=tuple(self._notes))
            yield frame
        self.info = replace(self.info, notes=tuple(self._notes))

    def close(self) -> None:
        self._frames.close()
        self._pending = None

    def _read(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self._paths):
            try:
                picture, notes = read_image(path)
            except SourceOpenError as exc:
                if not self._lenient:
                    raise
                self._skipped += 1
                self._notes.append(f"left out: {exc}")
                continue
            self._notes.extend(notes)
            planes, color = convert_picture((picture,), "rgb24", self._pix_fmt, _RGB)
            yield Frame(
                planes=planes,
                pix_fmt=self._pix_fmt,
                color=color,
                pts=index,
                time_base=Fraction(1, 25),
                index=index,
                captured_at=time.monotonic(),
            )


def image_paths(path: Path) -> list[Path]:
    """The picture itself, or the pictures of a folder in natural order (2 before 10).

    Raises:
        SourceOpenError: There is none.
    """
    if not path.is_dir():
        return [path]
    try:
        found = [
            each
            for each in path.iterdir()
            if each.suffix.lower() in IMAGE_SUFFIXES and each.is_file()
        ]
    except OSError as exc:
        raise SourceOpenError(f"{path} cannot be read: {reason(exc)}") from exc
    if not found:
        raise SourceOpenError(
            f"{path} is a folder without pictures "
            f"({', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}); "
            "name a video file in it, or another folder"
        )
    return sorted(found, key=_natural_order)


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = _DIGITS.split(path.name.casefold())
    # Text and numbers alternate, so that like is always compared with like.
    keyed = [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)]
    return keyed, path.name


def read_image(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read a picture upright, as ``(H, W, 3)`` ``uint8`` RGB, with notes on changes.

    Raises:
        SourceOpenError: It is missing, empty, too large or not a picture.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as exc:
        raise SourceOpenError(f"{path}: no such file; check the name") from exc
    except OSError as exc:
        raise SourceOpenError(f"{path} cannot be read: {reason(exc)}") from exc
    if not data:
        raise SourceOpenError(f"{path} is empty (0 bytes); get the file again")
    _check_png_size(path, data)
    buffer = np.frombuffer(data, np.uint8)
    try:
        picture = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        alpha = picture is not None and picture.ndim == 3 and picture.shape[2] == 4
        if b"Exif" in data or b"eXIf" in data:
            # Only these modes turn the picture as its EXIF tag says.
            picture = cv2.imdecode(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error:
        picture, alpha = None, False
    if picture is None:
        raise SourceOpenError(
            f"{path} is not a picture that can be read, or it is damaged; "
            "check it with another viewer"
        )
    fault = size_fault(picture.shape[1], picture.shape[0])
    if fault is not None:
        raise SourceOpenError(f"{path}: {fault}")
    notes = [f"{path}: transparency is dropped"] if alpha else []
    if is_cut_short(data):
        notes.append(f"{path} is cut short: what is missing was made up")
    if picture.dtype == np.uint16:
        notes.append(f"{path}: 16 bits are rounded to 8")
        # 65535 / 255 = 257 exactly
        picture = ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif picture.dtype != np.uint8:
        raise SourceOpenError(
            f"{path} has {picture.dtype} samples; convert it to 8 or 16 bits first"
        )
    return _to_rgb(picture), notes


def is_cut_short(data: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is missing; others are not looked at."""
    if data.startswith(b"\xff\xd8"):
        # The end of the picture after its last scan; thumbnails have ends of their own.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(_PNG_MAGIC) and b"IEND" not in data[-4096:]


def _to_rgb(picture: np.ndarray) -> np.ndarray:
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    if channels == 1:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    if channels == 2:  # gray with transparency
        gray = np.ascontiguousarray(picture[..., 0])
        return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    code = cv2.COLOR_BGRA2RGB if channels == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(picture, code)


def _check_png_size(path: Path, data: bytes) -> None:
    """PNG can promise gigabytes in a few bytes; other formats are checked later."""
    if data.startswith(_PNG_MAGIC) and len(data) >= 24:
        width = int.from_bytes(data[16:20], "big")
        height = int.from_bytes(data[20:24], "big")
        fault = size_fault(width, height)
        if fault is not None:
            raise SourceOpenError(f"{path}: {fault}")
