"""One picture, and a file of one or more."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from streamdenoise.errors import SourceOpenError
from streamdenoise.frame import Still, size_fault
from streamdenoise.io.memory_limit import check_memory

_BYTES_PER_PX = 22
"""Peak of reading, denoising and writing a photograph, measured at 50 megapixels."""
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

MULTIPAGE_SUFFIXES = (".png", ".apng", ".gif", ".webp", ".tif", ".tiff", ".dcm")
"""Files that can hold more than one picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture, upright."""

    samples: np.ndarray
    """``(H, W)`` gray or ``(H, W, 3)`` RGB, ``uint8`` or ``uint16``, C-contiguous."""
    still: Still
    duration_ms: float | None = None
    """How long it is shown; None if the file does not say."""
    notes: tuple[str, ...] = ()
    """What could not be read."""


class PictureFile(Protocol):
    """An open file, whose pictures are read one by one."""

    @property
    def pages(self) -> int:
        """How many pictures there are."""
        ...

    @property
    def is_animation(self) -> bool:
        """Whether the pictures are shown one after the other, as a video."""
        ...

    def __iter__(self) -> Iterator[Picture]:
        """The pictures in order.

        Raises:
            SourceOpenError: One is damaged, or of a kind that cannot be denoised.
        """
        ...


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture before any memory is taken for it.

    Raises:
        SourceOpenError: It is too large, for this machine or at all, or empty.
    """
    fault = size_fault(width, height)
    if fault is not None:
        raise SourceOpenError(f"{path}: {fault}")
    check_memory(str(path), width, height, _BYTES_PER_PX)


def not_a_picture(path: Path) -> SourceOpenError:
    """The error of a file that nothing can read."""
    return SourceOpenError(
        f"{path} is not an image that can be read, or it is damaged; "
        "check it with another viewer"
    )


def is_cut_short(data: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is missing; False for other formats."""
    if data.startswith(b"\xff\xd8"):
        # The end marker after the last scan; thumbnails have markers of their own.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(_PNG_MAGIC) and b"IEND" not in data[-4096:]
