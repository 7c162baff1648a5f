"""Small files whose headers promise far more than they hold."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

BIG = 65535
_CLASS = "1.2.840.10008.5.1.4.1.1.7"
MOST = 16383
"""Largest sides of WebP."""


def pictures() -> dict[str, bytes]:
    """Names and contents: each is refused, or read in little memory."""
    gif = _gif(BIG, BIG)
    webp = b"WEBPVP8X" + struct.pack("<I4x", 10) + 2 * MOST.to_bytes(3, "little")
    lossless = struct.pack("<IBI9x", 14, 0x2F, MOST | MOST << 14)
    return {
        "jpeg.jpg": jpeg(BIG, BIG),
        "mpo.jpg": jpeg(BIG, BIG)[:-2] + jpeg(16, 16),
        "gif_named_png.png": gif,
        "gif.gif": gif,
        "small_screen.png": _gif(BIG, BIG, screen=10),
        "png.png": png(BIG, BIG),
        "long.png": png(1 << 31, 1),
        "text.png": png(
            8, 8, _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 28)))
        ),
        "bmp.bmp": _bmp(BIG, BIG),
        "negative.bmp": _bmp(-20000, 20000),
        "upside_down.bmp": _bmp(20000, -20000),
        "extended.webp": b"RIFF" + struct.pack("<I", len(webp)) + webp,
        "lossless.webp": b"RIFF" + struct.pack("<I", 26) + b"WEBPVP8L" + lossless,
        "8.tif": tiff(BIG, BIG),
        "16.tif": tiff(BIG, BIG, bits=16),
        "channels.tif": tiff(11000, 11000, bits=16, channels=4000),
        "circle.tif": tiff(16, 16, following=8),
        "pages.tif": _pages(20_000),
        "p6.png": b"P6 65535 65535 255\n" + bytes(20),
    }


def videos() -> dict[str, bytes]:
    """The same for what FFmpeg reads."""
    palette = struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, MOST, MOST, 24, 0)
    return {
        "p6.ppm": b"P6 65535 65535 255\n" + bytes(20),
        "p5.pgm": b"P5 100000 100000 65535\n" + bytes(20),
        "all.pam": b"P7\nWIDTH 65535\nHEIGHT 65535\nDEPTH 4\nMAXVAL 65535\n"
        b"TUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(64),
        "a.y4m": b"YUV4MPEG2 W65535 H65535 F25:1 C420\nFRAME\n",
        "b.y4m": b"YUV4MPEG2 W16384 H16384 F25:1 C444p16\nFRAME\n",
        "a.qoi": b"qoif" + struct.pack(">IIBB", MOST, MOST, 4, 0) + b"\xfd" * 2000,
        "a.tga": palette + b"\xff\0\0\0" * 100,
        "a.psd": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 30000, 30000, 8, 3),
        "a.sgi": struct.pack(">HBBHHHH", 474, 1, 1, 3, BIG, BIG, 3) + bytes(500),
    }


def sparse(folder: Path) -> list[Path]:
    """Files that are larger than any disk, and hold nothing or a small picture."""
    starts = {
        "zeros.png": b"",
        "zeros.tif": b"",
        "behind.jpg": jpeg(16, 16)[:-2],
        "behind.png": png(16, 16)[:33],
        "behind.tif": tiff(16, 16),
        "behind.gif": _gif(16, 16)[:-1],
    }
    for name, start in starts.items():
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(1 << 40)
    return [folder / name for name in starts]


def dicom_of_jpeg(path: Path) -> None:
    """DICOM of 16x16 whose JPEG has another size."""
    _dicom(path, jpeg(60000, 60000), "1.2.840.10008.1.2.4.50")


def dicom_of_jpeg_2000(path: Path) -> None:
    """The same with JPEG 2000."""
    sides = struct.pack(">IIII", 60000, 60000, 0, 0)
    head = b"\xff\x4f\xff\x51" + struct.pack(">HH", 41, 0) + sides
    _dicom(path, head + bytes(40), "1.2.840.10008.1.2.4.90")


def deflated_dicom(path: Path, count: int) -> None:
    """DICOM of 16x16 that has `count` bytes when it is inflated."""
    _dicom(path, bytes(256), "1.2.840.10008.1.2.1.99", TextValue="a" * count)


def _dicom(path: Path, pixels: bytes, syntax: str, **tags: object) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    about: Any = Dataset()
    meta: Any = FileMetaDataset()
    about.file_meta = meta
    meta.TransferSyntaxUID = UID(syntax)
    about.SOPClassUID = meta.MediaStorageSOPClassUID = _CLASS
    about.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    about.Rows = about.Columns = 16
    about.SamplesPerPixel, about.PhotometricInterpretation = 1, "MONOCHROME2"
    about.BitsAllocated = about.BitsStored = 8
    about.HighBit, about.PixelRepresentation = 7, 0
    is_compressed = UID(syntax).is_encapsulated
    about.PixelData = encapsulate([pixels]) if is_compressed else pixels
    about["PixelData"].VR = "OB"
    for tag, value in tags.items():
        setattr(about, tag, value)
    about.save_as(path, enforce_file_format=True)


def jpeg(width: int, height: int) -> bytes:
    """A JPEG with the data of 16x16 pixels."""
    target = io.BytesIO()
    Image.new("RGB", (16, 16)).save(target, "JPEG")
    data = bytearray(target.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def png(width: int, height: int, more: bytes = b"") -> bytes:
    """A PNG without pixels, and with more chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(b""))
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    return start + more + pixels + _chunk(b"IEND", b"")


def tiff(
    width: int, height: int, bits: int = 8, channels: int = 3, following: int = 0
) -> bytes:
    """A TIFF of one strip of no bytes; `following` is where the next page is."""
    tags = [
        *((256, width), (257, height), (258, bits), (259, 1)),
        *((262, 2 if channels == 3 else 1), (273, 8), (277, channels)),
        *((278, height), (279, 100)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8) + directory


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _gif(width: int, height: int, screen: int | None = None) -> bytes:
    sides = (width, height) if screen is None else (screen, screen)
    frame = struct.pack("<HHHHB", 0, 0, width, height, 0)
    start = b"GIF89a" + struct.pack("<HHBBB", *sides, 0, 0, 0)
    return start + b"," + frame + b"\x02\x02\x44\x01\x00;"


def _bmp(width: int, height: int) -> bytes:
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + about


def _pages(count: int) -> bytes:
    """A TIFF of many pages of one pixel."""
    data = bytearray(b"II*\0\x08\0\0\0")
    for number in range(count):
        tags = ((256, 1), (257, 1), (258, 8))
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags)
        end = len(data) + 2 + len(entries) + 4
        following = end if number + 1 < count else 0
        data += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return bytes(data)
