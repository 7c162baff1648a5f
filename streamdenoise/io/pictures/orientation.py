"""Turns pictures upright, as EXIF and XMP say, and corrects what these say then."""

import re
import struct

import numpy as np

_TAG = 0x0112
_UPRIGHT = 1
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Samples ``(H, W, ...)`` turned and mirrored as an orientation of 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)


def upright_exif(exif: bytes) -> bytes:
    """EXIF data in TIFF format with an orientation of 1.

    All other bytes stay, because notes of camera makers hold positions in the file.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return exif
    changed = bytearray(exif)
    try:
        (first,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, first)
        for entry in range(first + 2, first + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack_from(order + "HHI", exif, entry)
            if tag == _TAG:
                code = order + ("I" if kind == 4 else "H")
                struct.pack_into(code, changed, entry + 8, _UPRIGHT)
    except struct.error:
        return exif  # cut short: readers ignore it
    return bytes(changed)


def upright_xmp(xmp: bytes) -> bytes:
    """The same for XMP."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
