"""Bands of rows, so that only a few rows of an image exist in ``float32`` at a time."""

from collections.abc import Iterator

_ROWS = 256
"""Even, for 4:2:0."""


def bands(height: int) -> Iterator[slice]:
    """The rows of an image in parts; each begins at an even row."""
    for top in range(0, height, _ROWS):
        yield slice(top, min(top + _ROWS, height))
