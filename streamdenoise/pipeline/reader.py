"""The input side of a pipeline: a thread that reads the source ahead into a queue."""

import time
from collections.abc import Callable
from threading import Thread

from streamdenoise.frame import Frame
from streamdenoise.io.protocols import Source
from streamdenoise.pipeline.queue import FrameQueue
from streamdenoise.pipeline.stats import RateMeter

_JOIN_S, _LIVE_JOIN_S = 2.0, 0.3
"""Time for a source to notice that it is no longer read, and for a live one."""

FindReference = Callable[[Frame], tuple[Frame, Frame | None]]
"""Returns the frame to denoise and its clean version, for each frame of the source."""


class Reader:
    """A source, its queue and its thread.

    The thread is a daemon: nothing can wake a thread that is blocked in a read, so it
    may outlive the pipeline.

    Attributes:
        queue: Frames and their references, in order; then the source's error, if any.
        frames: Number of frames read so far.
        frame_at: When the last frame arrived, or when the reader was started.
        rate: Meter of the frame rate.
    """

    def __init__(
        self,
        source: Source,
        queue: FrameQueue[tuple[Frame, Frame | None]],
        find_reference: FindReference | None = None,
        *,
        is_live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect the parts; nothing is read before `start`.

        Args:
            source: Open; the caller closes it.
            queue: Filled by the thread, then closed.
            find_reference: Returns each frame with its clean version; None has none.
            is_live: Whether the source may be blocked in a network read.
            clock: Seconds, comparable with `Frame.captured_at`.
        """
        self.queue = queue
        self.frames = 0
        self.frame_at = 0.0
        self.rate = RateMeter(clock=clock)
        self._source = source
        self._find_reference = find_reference
        self._is_live = is_live
        self._clock = clock
        self._thread = Thread(target=self._read, name="decode", daemon=True)

    def start(self) -> None:
        self.frame_at = self._clock()
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether no more frames will come."""
        return self.queue.is_closed

    def stop(self) -> None:
        """Discard the frames read ahead; may be called repeatedly from any thread."""
        self.queue.close(discard=True)

    def join(self) -> bool:
        """Wait for the thread, for a while; returns whether it has ended."""
        self._thread.join(_LIVE_JOIN_S if self._is_live else _JOIN_S)
        return not self._thread.is_alive()

    def _read(self) -> None:
        error = None
        try:
            for frame in self._source:
                find = self._find_reference
                if not self.queue.put((frame, None) if find is None else find(frame)):
                    break
                self.frames += 1
                self.frame_at = self._clock()
                self.rate.tick()
        except BaseException as exc:  # of any kind: the queue's consumer raises it
            error = exc
        finally:
            self.queue.close(error)
