"""Noise that a JPEG hides: what its quantization took away, an estimate cannot find.

The error of a quantized coefficient is uniform, with a std of the step over the root of
12 (Robertson and Stevenson, "DCT quantization noise in compressed images", 2005). That
is an upper bound: most coefficients become zero, and lose only what they were.
"""

import numpy as np

from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_profile import LEVELS

_SHARE = 0.2
"""Share of the bound that is worth telling: at qualities of 60 to 95 noisy photographs
gain up to 0.6 dB by it, and clean ones lose nothing in the mean."""
_DCT = np.arange(8)
_FREQUENCY = np.maximum(_DCT[:, None], _DCT)
_OCTAVE = np.where(_FREQUENCY > 4, 0, np.where(_FREQUENCY > 2, 1, 2))
"""Which scale each coefficient of a block belongs to."""
_ZIGZAG = sorted(
    ((row, column) for row in range(8) for column in range(8)),
    key=lambda at: (sum(at), at[sum(at) % 2 == 0]),
)
"""Row and column of each coefficient in the order of the file."""
_COLOR = ColorInfo(matrix=6, range=2)
"""JPEG's own: BT.601 in full range."""
_WHITE = plane_sigmas(1.0, _COLOR, 8, 8)
LUMA_OF_RGB = _WHITE[0]
"""Std of luma of noise that has a level of 1 in RGB."""


def hidden_noise(start: bytes) -> tuple[float, ...]:
    """The noise profile that may be hidden in an image.

    Args:
        start: the file, or its first part, down to the image data.

    Returns:
        A level for each of `LEVELS`, in 8-bit levels of RGB; empty for other files.
    """
    tables = quantization_tables(start)
    if 0 not in tables:
        return ()
    levels: list[float] = []
    for plane, scale in LEVELS:
        steps = tables.get(1, tables[0]) if plane else tables[0]
        is_last = (plane, 2 * scale) not in LEVELS
        octave = (1, 2, 4).index(scale)
        mine = octave <= _OCTAVE if is_last else octave == _OCTAVE
        error = np.sqrt(np.square(steps[mine]).mean() / 12)
        levels.append(_SHARE * float(error) / _WHITE[plane])
    return tuple(levels)


def quantization_tables(start: bytes) -> dict[int, np.ndarray]:
    """The tables of a JPEG ``(8, 8)`` by number: 0 is for luma, 1 for chroma."""
    tables: dict[int, np.ndarray] = {}
    place = 2 if start[:2] == b"\xff\xd8" else len(start)
    while place + 4 <= len(start) and start[place] == 0xFF:
        marker, size = start[place + 1], int.from_bytes(start[place + 2 : place + 4])
        if marker == 0xDA:  # the image data begins
            break
        segment = start[place + 4 : place + 2 + size]
        while marker == 0xDB and segment:
            is_wide, number = segment[0] >> 4, segment[0] & 15
            length = 128 if is_wide else 64
            if len(segment) <= length:
                break
            kind = np.dtype(">u2" if is_wide else "u1")
            table = np.zeros((8, 8))
            rows, columns = zip(*_ZIGZAG, strict=True)
            table[rows, columns] = np.frombuffer(segment[1 : length + 1], kind)
            tables[number] = table
            segment = segment[length + 1 :]
        place += 2 + max(2, size)
    return tables
