"""Publishing to servers from a child process. Reconnecting is in `io.sinks`."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.io.publishing.sink import PublishSink

__all__ = ["PublishSink"]

__getattr__ = exports(__name__, {"PublishSink": "sink"})
