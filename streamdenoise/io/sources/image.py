"""Still images: one, or a folder of them in natural order."""

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
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.options import IMAGE_SUFFIXES, ReadOptions

_RGB = ColorInfo(matrix=0, range=2)
_DIGITS = re.compile(r"(\d+)")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


class ImageSource(Closing):
    """One frame per image, rgb24 by default.

    Each keeps its own size. An image in a folder that cannot be read is left out,
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
                f"{path}: none of its {len(self._paths)} images can be read; "
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
        """Images that could not be read so far."""
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
                image, notes = read_image(path)
            except SourceOpenError as exc:
                if not self._lenient:
                    raise
                self._skipped += 1
                self._notes.append(f"left out: {exc}")
                continue
            self._notes.extend(notes)
            planes, color = convert_planes((image,), "rgb24", self._pix_fmt, _RGB)
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
    """`path` itself, or the images in this folder in natural order (2 before 10).

    Raises:
        SourceOpenError: The folder has no images, or cannot be read.
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
            f"{path} is a folder without images "
            f"({', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}); "
            "give a video file in it, or another folder"
        )
    return sorted(found, key=_natural_order)


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = _DIGITS.split(path.name.casefold())
    # Text and numbers alternate, so that text is never compared with numbers.
    keyed = [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)]
    return keyed, path.name


def read_image(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read an image as upright ``(H, W, 3)`` ``uint8`` RGB, with notes on changes.

    Raises:
        SourceOpenError: It is missing, empty, too large or not an image.
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
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        alpha = image is not None and image.ndim == 3 and image.shape[2] == 4
        if b"Exif" in data or b"eXIf" in data:
            # Only these modes rotate the image by its EXIF tag.
            image = cv2.imdecode(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error:
        image, alpha = None, False
    if image is None:
        raise SourceOpenError(
            f"{path} is not an image that can be read, or it is damaged; "
            "check it with another viewer"
        )
    fault = size_fault(image.shape[1], image.shape[0])
    if fault is not None:
        raise SourceOpenError(f"{path}: {fault}")
    notes = [f"{path}: transparency is dropped"] if alpha else []
    if is_cut_short(data):
        notes.append(f"{path} is truncated: the decoder filled in the rest")
    if image.dtype == np.uint16:
        notes.append(f"{path}: 16 bits are rounded to 8")
        # 65535 / 255 = 257 exactly
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise SourceOpenError(
            f"{path} has {image.dtype} samples; convert it to 8 or 16 bits first"
        )
    return _to_rgb(image), notes


def is_cut_short(data: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is missing; False for other formats."""
    if data.startswith(b"\xff\xd8"):
        # The end marker after the last scan; thumbnails have markers of their own.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(_PNG_MAGIC) and b"IEND" not in data[-4096:]


def _to_rgb(image: np.ndarray) -> np.ndarray:
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if channels == 2:  # gray with transparency
        gray = np.ascontiguousarray(image[..., 0])
        return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    code = cv2.COLOR_BGRA2RGB if channels == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, code)


def _check_png_size(path: Path, data: bytes) -> None:
    """Reject a PNG that claims gigabytes in a few bytes; others are checked later."""
    if data.startswith(_PNG_MAGIC) and len(data) >= 24:
        width = int.from_bytes(data[16:20], "big")
        height = int.from_bytes(data[20:24], "big")
        fault = size_fault(width, height)
        if fault is not None:
            raise SourceOpenError(f"{path}: {fault}")
