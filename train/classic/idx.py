"""IDX files, the format of MNIST, Fashion-MNIST and their like."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from streamdenoise.errors import SourceOpenError

_TYPES = {0x08: ">u1", 0x0D: ">f4", 0x0E: ">f8"}
"""Codes of what samples can be; others hold no pictures."""


def read_idx(path: Path) -> np.ndarray:
    """Read the pictures of an IDX file, gzipped or not.

    The header is two zero bytes, the type, the number of dimensions, then each of them
    as four bytes, the highest first (LeCun et al., "The MNIST database").

    Returns:
        ``(N, H, W)``, ``uint8`` in 0 to 255, or ``float32`` as they are.

    Raises:
        SourceOpenError: it cannot be read, is no IDX file of pictures, or is longer or
            shorter than it says.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as exc:
        raise SourceOpenError(
            f"{path} cannot be read: {exc}; get the file again"
        ) from exc
    magic = data[:4].hex(" ")
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or data[3] != 3:
        raise SourceOpenError(
            f"{path} is no IDX file of pictures: its magic number is "
            f"{magic or 'missing'}, not 00 00 08 03; give a file such "
            "as t10k-images-idx3-ubyte.gz"
        )
    shape = tuple(np.frombuffer(data[4:16].ljust(12, b"\0"), ">u4").tolist())
    dtype = np.dtype(_TYPES[data[2]])
    expected = 16 + dtype.itemsize * math.prod(shape)
    if len(data) != expected or not math.prod(shape):
        raise SourceOpenError(
            f"{path} has {len(data)} bytes, its header promises {expected} for "
            f"{'x'.join(map(str, shape))} samples; get the file again"
        )
    samples = np.frombuffer(data, dtype, offset=16).reshape(shape)
    return samples.astype(np.uint8 if dtype.itemsize == 1 else np.float32)
