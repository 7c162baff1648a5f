"""Still images and animations: one file, a numbered sequence, or a folder of them."""

import os
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.errors import SourceOpenError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo, bit_depth
from streamdenoise.imaging.color import rgb_to_gray
from streamdenoise.imaging.jpeg import hidden_noise
from streamdenoise.imaging.pix_fmt import convert_planes
from streamdenoise.io.image_paths import image_paths, is_pattern, sequence
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.pictures import dicom
from streamdenoise.io.pictures.changing import changed
from streamdenoise.io.pictures.picture import Picture
from streamdenoise.io.pictures.reading import open_pictures
from streamdenoise.io.pictures.writing import rounded_to_8_bits

_RGB = ColorInfo(matrix=0, range=2)
_DEFAULT_RATE = Fraction(25)
_MILLISECOND = Fraction(1, 1000)
_HEADER_BYTES = 1 << 18
"""The tables of a JPEG follow its previews and profiles."""
_PICTURE_FMTS = ("gray", "gray16le", "rgb24", "rgb48le")


class ImageSource(Closing):
    """One frame per picture: of a file, a numbered sequence or a folder.

    Each keeps its own size. Frames are rgb24, or as they are stored if the options say
    so. An image in a folder that cannot be read is left out, counted and named in the
    notes; `Frame.index` then has a gap, as it has where a sequence has one.

    Raises:
        SourceOpenError: There is no image that can be read.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._options = options
        self._notes: list[str] = []
        self._rate = options.input_rate or _DEFAULT_RATE
        self._numbers: list[int | None]
        if is_pattern(path):
            found, notes = sequence(path)
            self._notes += notes
            self._paths = list(found.values())
            self._numbers = list(found)
        else:
            self._paths = image_paths(path)
            self._numbers = [None] * len(self._paths)
        self._lenient = len(self._paths) > 1 or os.path.isdir(path)
        self._skipped = 0
        self._is_animation = False
        self._pages = 1
        self._frames = self._read()
        first = next(self._frames, None)
        if first is None:
            raise SourceOpenError(
                f"{path}: none of its {len(self._paths)} images can be read; "
                f"the first: {self._notes[-1]}"
            )
        self._pending: Frame | None = first
        self.info = StreamInfo(
            width=first.width,
            height=first.height,
            pix_fmt=first.pix_fmt,
            frame_rate=None if self._is_animation else options.input_rate,
            time_base=first.time_base,
            color=first.color,
            num_frames=max(len(self._paths), self._pages),
            pictures=max(len(self._paths), self._pages),
            is_animation=self._is_animation,
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
        """The frames within the time that the options ask for."""
        start, length = self._options.start_s, self._options.duration_s
        end = None if length is None else start + length
        for frame in self._read_all():
            if end is not None and frame.time_s >= end:
                return
            if frame.time_s >= start:
                yield frame

    def _read_all(self) -> Generator[Frame, None, None]:
        if len(self._paths) == 1:
            yield from self._pages_of(self._paths[0])
            return
        first = self._numbers[0] or 0
        for place, (path, number) in enumerate(
            zip(self._paths, self._numbers, strict=True)
        ):
            index = place if number is None else number - first
            try:
                frame, notes = self._first_of(path, number)
            except SourceOpenError as exc:
                if not self._lenient:
                    raise
                self._skipped += 1
                self._notes.append(f"left out: {exc}")
                continue
            self._note(notes)
            yield replace(
                frame, pts=index, time_base=1 / self._rate, index=index, duration=1
            )

    def _note(self, notes: list[str]) -> None:
        self._notes += [note for note in notes if note not in self._notes]

    def _first_of(self, path: Path, number: int | None) -> tuple[Frame, list[str]]:
        file = open_pictures(path)
        picture = next(iter(file))
        still = replace(picture.still, number=number, pages=1)
        frame, notes = self._frame(replace(picture, still=still))
        if file.pages > 1:
            notes.append(
                f"{path} has {file.pages} pictures: only the first is used in a "
                "sequence or folder; give the file alone for all"
            )
        return frame, notes

    def _pages_of(self, path: Path) -> Generator[Frame, None, None]:
        file = open_pictures(path)
        self._is_animation = file.is_animation
        self._pages = file.pages
        shown_ms, pages = 0.0, iter(file)
        for index in range(file.pages):
            try:
                picture = next(pages, None)
            except SourceOpenError as exc:
                if not index:
                    raise
                self._skipped += 1
                self._notes.append(f"{path}: ends at picture {index}: {exc}")
                return
            if picture is None:
                self._notes.append(f"{path}: ends at picture {index} of {file.pages}")
                return
            frame, notes = self._frame(picture)
            self._note(notes)
            if picture.duration_ms is None:
                pts, duration, time_base = index, 1, 1 / self._rate
            else:
                pts, end = round(shown_ms), round(shown_ms + picture.duration_ms)
                duration, time_base = end - pts, _MILLISECOND
                shown_ms += picture.duration_ms
            yield replace(
                frame, pts=pts, time_base=time_base, index=index, duration=duration
            )

    def _frame(self, picture: Picture) -> tuple[Frame, list[str]]:
        picture = changed(picture, self._options.filters.scale, gray=self._options.gray)
        path, notes = picture.still.path, list(picture.notes)
        samples, still = picture.samples, picture.still
        if not self._options.as_stored:
            if dicom.has_data_set(still):
                samples = dicom.shown(samples, still)
            if still.alpha is not None:
                notes.append(f"{path}: transparency is dropped")
            still = None
        stored = _pix_fmt(samples)
        pix_fmt = self._options.pix_fmt or ("rgb24" if still is None else stored)
        if bit_depth(stored) > bit_depth(pix_fmt):
            notes.append(
                f"{path}: {bit_depth(stored)} bits are rounded to {bit_depth(pix_fmt)}"
            )
        planes, color = _converted(samples, pix_fmt)
        start = b""
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
        frame = Frame(
            planes=planes,
            pix_fmt=pix_fmt,
            color=color,
            pts=0,
            time_base=1 / self._rate,
            index=0,
            captured_at=time.monotonic(),
            # Of other pixels than the file's, its tables say nothing.
            hidden_noise=() if self._options.filters.scale else hidden_noise(start),
            still=still,
        )
        return frame, notes


def read_image(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read an image as upright ``(H, W, 3)`` ``uint8`` RGB, with notes on changes.

    Raises:
        SourceOpenError: It is missing, empty, too large or not an image.
    """
    with ImageSource(path, ReadOptions()) as source:
        (rgb,) = next(iter(source)).planes
        return rgb, list(source.info.notes)


def _pix_fmt(samples: np.ndarray) -> str:
    is_deep = samples.dtype == np.uint16
    if samples.ndim == 3:
        return "rgb48le" if is_deep else "rgb24"
    return "gray16le" if is_deep else "gray"


def _converted(
    samples: np.ndarray, pix_fmt: str
) -> tuple[tuple[np.ndarray, ...], ColorInfo]:
    """Samples of a picture as planes of any format."""
    target = pix_fmt if pix_fmt in _PICTURE_FMTS else "rgb24"
    depth = bit_depth(target)
    if samples.dtype == np.uint16 and depth == 8:
        samples = rounded_to_8_bits(samples)
    elif samples.dtype == np.uint8 and depth == 16:
        samples = samples.astype(np.uint16) * 257
    if target.startswith("rgb") and samples.ndim == 2:
        samples = cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB)
    elif target.startswith("gray") and samples.ndim == 3:
        samples = rgb_to_gray(samples)
    return convert_planes((samples,), target, pix_fmt, _RGB)
