"""Sinks, each for one kind of output. Open them with `io.open_sink`.

Recording in segments is in `io.recording`, network streams are in `io.publishing`.
"""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.io.sinks.retrying import RetryingSink
    from streamdenoise.io.sinks.window import WindowSink

__all__ = ["RetryingSink", "WindowSink"]

__getattr__ = exports(__name__, {"RetryingSink": "retrying", "WindowSink": "window"})
