"""What PNG needs beyond Pillow: chunks as they are, and 16 bits of color."""

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from streamdenoise.frame import Still

MAGIC = b"\x89PNG\r\n\x1a\n"

Chunk = tuple[bytes, bytes]
"""Type and content."""

_KEPT = (
    *(b"cICP", b"mDCV", b"cLLI", b"iCCP", b"sRGB", b"gAMA", b"cHRM"),
    *(b"tEXt", b"zTXt", b"iTXt", b"tIME"),
)
"""Chunks that hold true of the denoised picture, too."""
_INCH_M = 0.0254
_XMP_KEYWORD = b"XML:com.adobe.xmp"


def bits(data: bytes) -> int:
    """Bits per sample of a PNG file."""
    return data[24] if len(data) > 24 else 0


def kept_chunks(data: bytes) -> list[Chunk]:
    """The chunks of a PNG file to write again, without EXIF and XMP."""
    return [
        (name, content)
        for name, content in _chunks(data)
        if name in _KEPT and not content.startswith(_XMP_KEYWORD)
    ]


def with_tags(data: bytes, still: Still) -> bytes:
    """A PNG file with the tags of `still` after its header."""
    kept: Any = still.own.get("png_chunks")
    chunks: list[Chunk] = list(kept or [])
    if still.icc and kept is None:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(still.icc)))
    if still.dpi is not None:
        across, down = (round(each / _INCH_M) for each in still.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if still.exif:
        chunks.append((b"eXIf", still.exif))
    if still.xmp:
        chunks.append((b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + still.xmp))
    header = 8 + 12 + 13
    return data[:header] + b"".join(map(_packed, chunks)) + data[header:]


def encode_deep(samples: np.ndarray, alpha: np.ndarray | None) -> bytes:
    """A PNG file of 16 bits, which Pillow writes of gray without alpha only.

    Args:
        samples: ``(H, W)`` gray or ``(H, W, 3)`` RGB, ``uint16``.
        alpha: ``(H, W)`` ``uint16`` or None.
    """
    channels = samples if samples.ndim == 3 else samples[..., None]
    if alpha is not None:
        channels = np.concatenate([channels, alpha[..., None]], axis=2)
    names = {1: "gray16be", 2: "ya16be", 3: "rgb48be", 4: "rgba64be"}
    height, width, count = channels.shape
    frame = av.VideoFrame(width, height, names[count])
    packed = np.ascontiguousarray(channels, ">u2").view(np.uint8).reshape(height, -1)
    rows = np.zeros((height, frame.planes[0].line_size), np.uint8)
    rows[:, : packed.shape[1]] = packed
    frame.planes[0].update(rows.tobytes())
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, names[count]
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"pred": "paeth"}
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    return b"".join(map(bytes, packets))


def _packed(chunk: Chunk) -> bytes:
    name, content = chunk
    checksum = zlib.crc32(name + content)
    return (
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    )


def _chunks(data: bytes) -> Iterator[Chunk]:
    place = len(MAGIC)
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += 12 + size
