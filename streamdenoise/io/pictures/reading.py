"""Opens files of pictures."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.pictures import dicom, png
from streamdenoise.io.pictures.picture import (
    Picture,
    PictureFile,
    check_size,
    not_a_picture,
)
from streamdenoise.security.memory import as_gigabytes, available_memory

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_ANY_BYTES = 64 << 20
"""Files up to this size are read whatever is in them."""
_MOST_BYTES = 4 << 30
"""Stacks and cine may have this many."""
_MOST_BYTES_PER_PX = 16
"""A file of a single picture has no more, whatever tags it has."""


class _Guarded:
    """A file whose damage, whatever it raises, ends in one sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = _open(path, _read_bytes(path))
            self.pages = self._file.pages
            self.is_animation = self._file.is_animation
        except SourceOpenError:
            raise
        except MemoryError as exc:
            raise _too_little_memory(path) from exc
        except Exception as exc:
            raise not_a_picture(path) from exc

    def __iter__(self) -> Iterator[Picture]:
        try:
            yield from self._file
        except SourceOpenError:
            raise
        except MemoryError as exc:
            raise _too_little_memory(self._path) from exc
        except Exception as exc:
            raise not_a_picture(self._path) from exc


def open_pictures(path: Path) -> PictureFile:
    """Open a file by what is in it, whatever its name.

    Raises:
        SourceOpenError: It is missing, empty, too large or not an image.
    """
    return _Guarded(path)


def _too_little_memory(path: Path) -> SourceOpenError:
    return SourceOpenError(
        f"{path} cannot be read: there is too little memory; scale it down first"
    )


def _open(path: Path, data: bytes) -> PictureFile:
    if data.startswith(png.MAGIC) and len(data) >= 24:
        # Pillow would look for more in the file first.
        check_size(path, *(int.from_bytes(data[at : at + 4], "big") for at in (16, 20)))
    if dicom.is_dicom(path, data):
        return dicom.DicomFile(path, data)
    from streamdenoise.io.pictures.tiff_file import TiffFile

    if TiffFile.is_for(path, data):
        return TiffFile(path, data)
    from streamdenoise.io.pictures.pillow_file import PillowFile

    return PillowFile(path, data)


def _read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        SourceOpenError: It is missing, empty or far too large, or cannot be read.
    """
    try:
        # A pipe would wait for its other end.
        with os.fdopen(os.open(path, os.O_RDONLY | _AT_ONCE), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SourceOpenError(f"{path} is not a file; copy it to one first")
            _check_bytes(path, file, status.st_size)
            data = file.read(status.st_size)
    except FileNotFoundError as exc:
        raise SourceOpenError(f"{path}: no such file; check the name") from exc
    except SourceOpenError:
        raise
    except OSError as exc:
        raise SourceOpenError(f"{path} cannot be read: {reason(exc)}") from exc
    if not data:
        raise SourceOpenError(f"{path} is empty (0 bytes); get the file again")
    return data


def _check_bytes(path: Path, file: BinaryIO, size: int) -> None:
    """Refuse a file that has far more bytes than its pictures need.

    Raises:
        SourceOpenError: It has.
    """
    most = _MOST_BYTES
    if size > _ANY_BYTES:
        from streamdenoise.io.pictures.pillow_file import area_of_single

        area = area_of_single(file)
        file.seek(0)
        if area is not None:
            most = min(most, _ANY_BYTES + _MOST_BYTES_PER_PX * area)
    most = min(most, max(_ANY_BYTES, available_memory() // 2))
    if size > most:
        raise SourceOpenError(
            f"{path} has {as_gigabytes(size)}, and at most {as_gigabytes(most)} are "
            "read of it; check the file"
        )
