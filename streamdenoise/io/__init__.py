"""Sources and sinks of frames: files, cameras, streams, images; no denoising."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.io.open import open_sink, open_source
    from streamdenoise.io.options import (
        EncoderConfig,
        Hwaccel,
        ReadOptions,
        Reconnect,
        Transport,
    )
    from streamdenoise.io.protocols import Sink, Source
    from streamdenoise.io.timeouts import Interruption
    from streamdenoise.io.url import Credentials, StreamURL, is_network

__all__ = [
    "Credentials",
    "EncoderConfig",
    "Hwaccel",
    "Interruption",
    "ReadOptions",
    "Reconnect",
    "Sink",
    "Source",
    "StreamURL",
    "Transport",
    "is_network",
    "open_sink",
    "open_source",
]

__getattr__ = exports(
    __name__,
    {
        "Credentials": "url",
        "EncoderConfig": "options",
        "Hwaccel": "options",
        "Interruption": "timeouts",
        "ReadOptions": "options",
        "Reconnect": "options",
        "Sink": "protocols",
        "Source": "protocols",
        "StreamURL": "url",
        "Transport": "options",
        "is_network": "url",
        "open_sink": "open",
        "open_source": "open",
    },
)
