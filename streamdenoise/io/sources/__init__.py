"""Sources of frames, one file per kind; opened through `open_source`."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.io.sources.image import read_image
    from streamdenoise.io.sources.reconnecting import ReconnectingSource

__all__ = [
    "ReconnectingSource",
    "read_image",
]

__getattr__ = exports(
    __name__,
    {
        "ReconnectingSource": "reconnecting",
        "read_image": "image",
    },
)
