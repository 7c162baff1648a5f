"""A recording that arrives at its own pace, as if a camera gave it."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from streamdenoise.contexts import Closing
from streamdenoise.frame import Frame, StreamInfo

if TYPE_CHECKING:
    from streamdenoise.io.protocols import Source


class PacedSource(Closing):
    """Holds each frame of another source back until its time has come.

    The clock starts with the first frame. A consumer that is late finds the next frames
    ready at once; what to drop then is the queue's policy.
    """

    def __init__(self, source: "Source") -> None:
        self._source = source
        self._closed = threading.Event()

    @property
    def info(self) -> StreamInfo:
        return replace(self._source.info, is_live=True)

    @property
    def skipped(self) -> int:
        return self._source.skipped

    def __iter__(self) -> Iterator[Frame]:
        zero: float | None = None
        for frame in self._source:
            now = time.monotonic()
            if zero is None:
                zero = now - frame.time_s
            # The event lets `close` end a wait from another thread.
            if self._closed.wait(max(0.0, zero + frame.time_s - now)):
                return
            yield replace(frame, captured_at=time.monotonic())

    def close(self) -> None:
        self._closed.set()
        self._source.close()
