"""Times and frame sizes as users write them."""

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
