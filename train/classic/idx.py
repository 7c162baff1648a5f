"""IDX files, the format of MNIST, Fashion-MNIST and their like."""

import gzip
import math
import zlib
from io import BufferedReader
from pathlib import Path

import numpy as np

from streamdenoise.errors import SourceOpenError

_TYPES = {0x08: ">u1", 0x0D: ">f4", 0x0E: ">f8"}
"""Codes of the sample types that images can have."""


def read_idx(path: Path) -> np.ndarray:
    """Read the images of an IDX file, gzipped or not.

    The header is two zero bytes, the type, the number of dimensions, then each of them
    as a big-endian 32-bit number (LeCun et al., "The MNIST database").

    Returns:
        ``(N, H, W, C)`` with 1 or 3 channels (RGB): ``uint8``, or ``float32`` with the
        values of the file.

    Raises:
        SourceOpenError: it cannot be read, is not an IDX file of images, has no images,
            or is longer or shorter than its header promises.
    """
    try:
        with _opened(path) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as exc:
        raise SourceOpenError(
            f"{path} cannot be read: {exc}; get the file again"
        ) from exc
    magic = data[:4].hex(" ")
    if not _is_magic(data):
        raise SourceOpenError(
            f"{path} is not an IDX file of images: its magic number is "
            f"{magic or 'missing'}, not 00 00 08 03 (08 for bytes, 0d or 0e for "
            "floats; 03 for gray, 04 for color); give a file such as "
            "t10k-images-idx3-ubyte.gz"
        )
    first = 4 + 4 * data[3]
    shape = tuple(np.frombuffer(data[4:first].ljust(first - 4, b"\0"), ">u4").tolist())
    dtype = np.dtype(_TYPES[data[2]])
    expected = first + dtype.itemsize * math.prod(shape)
    if len(data) != expected:
        raise SourceOpenError(
            f"{path} has {len(data)} bytes, its header promises {expected} for "
            f"{'x'.join(map(str, shape))} samples; get the file again"
        )
    if len(shape) == 3:
        shape = (*shape, 1)
    if not math.prod(shape) or shape[3] not in (1, 3):
        raise SourceOpenError(
            f"{path} has no images of 1 or 3 channels: its samples are "
            f"{'x'.join(map(str, shape))}; give another file"
        )
    samples = np.frombuffer(data, dtype, offset=first).reshape(shape)
    return samples.astype(np.uint8 if dtype.itemsize == 1 else np.float32)


def is_idx(path: Path) -> bool:
    """Whether a file has the header of an IDX file of images."""
    try:
        with _opened(path) as file:
            return _is_magic(file.read(4))
    except (OSError, EOFError, zlib.error):
        return False


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_packed else path.open("rb")


def _is_magic(data: bytes) -> bool:
    return (
        len(data) >= 4
        and data[:2] == b"\0\0"
        and data[2] in _TYPES
        and data[3] in (3, 4)
    )
