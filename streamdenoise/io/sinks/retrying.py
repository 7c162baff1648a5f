"""An output that is opened again when it was lost, while the stream goes on."""

import logging
import time
from collections.abc import Callable

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError, SinkRefusedError
from streamdenoise.frame import Frame
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.options import Reconnect
from streamdenoise.io.protocols import Sink
from streamdenoise.io.timeouts import Interruption

log = logging.getLogger(__name__)

# What ends sooner counts as an attempt that failed: a server may take each connection
# and drop it at once.
_SETTLED_S = 3.0

_LOG_AGAIN_S = 600.0


class RetryingSink(Completing):
    """A sink around one that may fail in mid-stream.

    Frames are dropped while it is away; `write` opens it again, not before the
    back-off's time. All of it happens in the thread that writes: with
    `Reconnect.first` the very first time, too, so that no target that does not answer
    holds up the start.

    Attributes:
        reconnects: How often it came back: a frame was written again.
        dropped: Frames that were not written.
        error: Why it is away; empty while it works.

    Args:
        open_sink: Opens it; what is given ends its waits when `interrupt` is called.
        name: For messages, without credentials.
        reconnect: How often in a row; with `first` the first frame opens it, else the
            constructor.
        backoff: The waits between attempts.
        clock: Seconds that only grow.

    Raises:
        SinkError: It cannot be opened, and `reconnect` has no `first`.
    """

    def __init__(
        self,
        open_sink: Callable[[Interruption], Sink],
        name: str,
        *,
        reconnect: Reconnect,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reconnects = 0
        self.dropped = 0
        self.error = ""
        self._open_sink = open_sink
        self._name = name
        self._attempts = reconnect.attempts
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._interruption = Interruption()
        self._sink: Sink | None = None
        self._gone: SinkError | None = None
        self._closed = False
        self._failed = 0
        self._was_lost = False
        self._opened_at = self._lost_at = self._next_at = clock()
        self._dropped_before = 0
        self._said_at: float | None = None
        self._loss_is_said = False
        self._unsaid = ""
        self._notes: dict[str, None] = {}
        if not reconnect.first:
            self._sink = open_sink(self._interruption)

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of all the sinks it was, each once."""
        if self._sink is not None:
            self._notes |= dict.fromkeys(self._sink.notes)
        return tuple(self._notes)

    def interrupt(self) -> None:
        """End a wait for the network, from any thread; no frame is written any more."""
        self._interruption.set()

    def write(self, frame: Frame) -> None:
        """Write, or drop the frame while the sink is away.

        Raises:
            SinkError: It is gone for good.
            ValueError: The frame is not one for this sink.
        """
        if self._closed:
            raise ValueError("the sink is closed")
        if self._gone is not None:
            raise self._gone
        if self._interruption.is_set:
            self.dropped += 1
            return
        if self._sink is None and self._clock() >= self._next_at:
            self._open_again()
        if self._sink is None:
            self.dropped += 1
            return
        try:
            self._sink.write(frame)
        except SinkError as exc:
            self.dropped += 1
            if self._is_settled() or not self._was_lost:
                self._failed = 0
                self._said_at = None
                self._backoff.reset()
            else:
                self._failed += 1
            self._lose(exc)
        else:
            if self.error:
                self._note_return()
            if self._unsaid and self._is_settled():
                log.warning("%s", self._unsaid)
                self._unsaid = ""

    def close(self) -> None:
        """Finish the sink, where it is not away.

        Raises:
            SinkError: It could not be finished.
        """
        if self._closed:
            return
        self._closed = True
        if self._sink is not None:
            self._sink.close()

    def abort(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._sink is not None:
            self._sink.abort()

    def _open_again(self) -> None:
        try:
            self._sink = self._open_sink(self._interruption)
        except SinkError as exc:
            self._failed += 1
            self._lose(exc)
            return
        self._opened_at = self._clock()

    def _is_settled(self) -> bool:
        return self._clock() - self._opened_at >= _SETTLED_S

    def _note_return(self) -> None:
        """A frame was written: only now it is back, as a full disk lets files open."""
        self.error = ""
        self.reconnects += 1
        self._unsaid = (
            f"{self._name} is back after {self._opened_at - self._lost_at:.1f} s; "
            f"{self.dropped - self._dropped_before} frames were not written"
        )
        self._dropped_before = self.dropped
        if self._loss_is_said:
            log.warning("%s", self._unsaid)
            self._loss_is_said, self._unsaid = False, ""

    def _lose(self, exc: SinkError) -> None:
        """Leave the sink, and plan the next attempt.

        Raises:
            SinkError: There is none.
        """
        now = self._clock()
        if not self.error:
            self._lost_at = now
        self._was_lost, self._unsaid, self.error = True, "", str(exc)
        sink, notes = self._sink, self.notes
        self._sink = None
        if sink is not None:
            sink.abort()
            self._notes |= dict.fromkeys(notes)
        if self._interruption.is_set:
            return
        if isinstance(exc, SinkRefusedError) or (
            self._attempts is not None and self._failed >= self._attempts
        ):
            self._gone = exc
            raise exc
        wait_s = self._backoff.next_s()
        self._next_at = self._clock() + wait_s
        self._log_loss(wait_s)

    def _log_loss(self, wait_s: float) -> None:
        """Once, and now and then while it goes on: it may go on for days."""
        now = self._clock()
        if self._said_at is not None and now - self._said_at < _LOG_AGAIN_S:
            return
        many = f" after {self._failed} that failed" if self._failed > 1 else ""
        log.warning("%s; next attempt in %.1f s%s", self.error, wait_s, many)
        self._said_at, self._loss_is_said = now, True
