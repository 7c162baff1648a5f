"""Times and frame sizes as users write them."""

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from streamdenoise.errors import ConfigError

MAX_SIDE_PX = 16384
"""Longest side of a frame."""

TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Suffixes of times, and how many seconds each stands for."""


def parse_time(text: str) -> float:
    """Parse a time in seconds, as ``MM:SS`` or ``HH:MM:SS``, or with a suffix.

    The suffixes are `TIME_UNITS`; decimals are allowed.

    Returns:
        The time in seconds.

    Raises:
        ConfigError: `text` has none of these forms.
    """
    unit = TIME_UNITS.get(text[-1:])
    try:
        parts = [float(part) for part in (text[:-1] if unit else text).split(":")]
    except ValueError:
        parts = []
    longest = 1 if unit else 3
    if not 1 <= len(parts) <= longest or any(not 0 <= part < 1e9 for part in parts):
        raise ConfigError(
            f"{text!r} is not a time; write seconds, 90s, 10m, 1h, 7d, MM:SS or "
            "HH:MM:SS"
        )
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds * (unit or 1)


def parse_rate(text: str) -> Fraction:
    """Parse a frame rate in Hz: a number such as 23.976, or ``30000/1001``.

    Raises:
        ConfigError: `text` is neither, or not above 0 to 1000.
    """
    # Exponents could stand for numbers that fill the memory.
    is_short = len(text) < 20 and "e" not in text.lower()
    try:
        rate = Fraction(text) if is_short else Fraction(0)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise ConfigError(
            f"{text!r} is not a frame rate; give more than 0 to 1000 frames a second, "
            "such as 25 or 30000/1001"
        )
    return rate


SIZES = {
    "360p": (640, 360),
    "480p": (854, 480),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2160p": (3840, 2160),
}
"""Width and height in pixels of the sizes that have common names."""


def parse_size(text: str) -> tuple[int, int]:
    """Parse a frame size: a name of `SIZES`, or ``WIDTHxHEIGHT``.

    Returns:
        Width and height in pixels.

    Raises:
        ConfigError: `text` has neither form, or a side is out of range.
    """
    if text in SIZES:
        return SIZES[text]
    width, _, height = text.lower().partition("x")
    # Python refuses to read numbers of thousands of digits.
    if not all(side.isdecimal() and len(side) < 10 for side in (width, height)):
        raise ConfigError(
            f"{text!r} is not a size; write {', '.join(SIZES)}, or WIDTHxHEIGHT"
        )
    if not (16 <= int(width) <= MAX_SIDE_PX and 16 <= int(height) <= MAX_SIDE_PX):
        raise ConfigError(
            f"{text} is out of range; sides must have 16 to {MAX_SIDE_PX} pixels"
        )
    return int(width), int(height)


MIN_REGION_PX = 40
"""Least side of a region for noise: one block of the coarsest that is measured."""


class Region(NamedTuple):
    """An area of a frame, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return ",".join(map(str, self))

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return (
            *(self.left, self.top),
            *(self.left + self.width, self.top + self.height),
        )


def parse_region(text: str) -> Region:
    """Parse an area of a frame: ``X,Y,WIDTH,HEIGHT``.

    Raises:
        ConfigError: `text` has another form, or the area is empty.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(p.isdecimal() and len(p) < 10 for p in parts):
        raise ConfigError(
            f"{text!r} is not an area; write X,Y,WIDTH,HEIGHT in pixels, such as "
            "40,20,160,90"
        )
    region = Region(*map(int, parts))
    if min(region.width, region.height) < 1:
        raise ConfigError(f"{text} is an empty area; give a width and a height")
    return region


def parse_regions(texts: Iterable[str]) -> tuple[Region, ...]:
    """Parse several areas, see `parse_region`."""
    return tuple(map(parse_region, texts))


def parse_noise_region(text: str) -> Region:
    """Parse an area that noise is measured in, see `parse_region`.

    Raises:
        ConfigError: It has another form, or is too small.
    """
    region = parse_region(text)
    if min(region.width, region.height) < MIN_REGION_PX:
        raise ConfigError(
            f"{text} is too small to measure noise in; give {MIN_REGION_PX}x"
            f"{MIN_REGION_PX} pixels or more"
        )
    return region
