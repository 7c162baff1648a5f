"""Where frames come from and where they go; nothing here denoises."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.io.open import open_sink, open_source
    from streamdenoise.io.options import ReadOptions
    from streamdenoise.io.protocols import Sink, Source
    from streamdenoise.io.url import is_network

__all__ = [
    "ReadOptions",
    "Sink",
    "Source",
    "is_network",
    "open_sink",
    "open_source",
]

__getattr__ = exports(
    __name__,
    {
        "ReadOptions": "options",
        "Sink": "protocols",
        "Source": "protocols",
        "is_network": "url",
        "open_sink": "open",
        "open_source": "open",
    },
)
