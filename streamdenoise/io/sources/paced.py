"""Frames at their own pace, as a camera would give them."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from streamdenoise.contexts import Closing
from streamdenoise.frame import Frame, StreamInfo

if TYPE_CHECKING:
    from streamdenoise.io.protocols import Source


def paced(
    frames: Iterable[Frame],
    closed: threading.Event,
    longest_wait_s: float | None = None,
) -> Iterator[Frame]:
    """Hold each frame back until its time has come, counted from the first frame.

    A consumer that is late finds the next frames ready at once.

    Args:
        frames: The frames; their `captured_at` is set to the time of release.
        closed: When set, from any thread, the frames end.
        longest_wait_s: For timelines that may jump: a frame that is late, or early by
            more than this many seconds, is released at once and restarts the count.
    """
    zero: float | None = None
    for frame in frames:
        now = time.monotonic()
        if zero is None:
            zero = now - frame.time_s
        early_s = zero + frame.time_s - now
        if longest_wait_s is not None and not 0 <= early_s <= longest_wait_s:
            zero, early_s = now - frame.time_s, 0.0
        if closed.wait(max(0.0, early_s)):
            return
        yield replace(frame, captured_at=time.monotonic())


class PacedSource(Closing):
    """A recording whose frames arrive at their own pace, as those of a camera."""

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
        return paced(self._source, self._closed)

    def close(self) -> None:
        self._closed.set()
        self._source.close()
