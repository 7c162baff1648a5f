"""The size of a compressed image, by its own header: JPEG, JPEG-LS and JPEG 2000.

Files around it say a size, too, but decoders believe this one.
"""

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_NO_FRAME = (0xC4, 0xC8, 0xCC)
_JPEG_LS = 0xF7
_ALONE = (0x01, *range(0xD0, 0xD9))
"""Markers without a length."""


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height; None if they are not found."""
    if data.startswith(_JPEG):
        return _size_of_jpeg(data)
    start = data.find(_JPEG_2000, 0, 4096)  # a few boxes may come first
    if start < 0 or len(data) < start + 24:
        return None
    at = start + len(_JPEG_2000) + 4
    right, bottom, left, top = (
        int.from_bytes(data[n : n + 4], "big") for n in range(at, at + 16, 4)
    )
    return right - left, bottom - top


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = len(_JPEG)
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        is_frame = 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME
        if is_frame or marker == _JPEG_LS:
            height, width = data[place + 5 : place + 7], data[place + 7 : place + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        if marker == 0xFF:  # fills up
            place += 1
        elif marker in _ALONE:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
