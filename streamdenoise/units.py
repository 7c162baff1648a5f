"""Times and frame sizes as people write them."""

from streamdenoise.errors import ConfigError

MAX_SIDE = 16384
"""Longest side of a picture in pixels."""


TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of the units that a time may have."""


def parse_time(text: str) -> float:
    """Read a time in seconds, as `MM:SS` or `HH:MM:SS`, or with one of `TIME_UNITS`.

    Decimals are allowed.

    Raises:
        ConfigError: It is none of these.
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
"""Width and height of the sizes that people know by name."""


def parse_size(text: str) -> tuple[int, int]:
    """Read a picture size: a name of `SIZES`, or ``WIDTHxHEIGHT``.

    Returns:
        Width and height in pixels.

    Raises:
        ConfigError: It is neither, or no picture has this size.
    """
    if text in SIZES:
        return SIZES[text]
    width, _, height = text.lower().partition("x")
    # Python refuses to read numbers of thousands of digits.
    if not all(side.isdecimal() and len(side) < 10 for side in (width, height)):
        raise ConfigError(
            f"{text!r} is not a size; write {', '.join(SIZES)}, or WIDTHxHEIGHT"
        )
    if not (16 <= int(width) <= MAX_SIDE and 16 <= int(height) <= MAX_SIDE):
        raise ConfigError(
            f"{text} is not a size that can be built; sides are 16 to {MAX_SIDE} pixels"
        )
    return int(width), int(height)
