"""An output that reconnects after a failure while the stream continues."""

import logging
import time
from collections.abc import Callable

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError, SinkRefusedError
from streamdenoise.frame import Frame
from streamdenoise.io.backoff import Backoff, after_refusals
from streamdenoise.io.options import Reconnect
from streamdenoise.io.protocols import Proving, Sink
from streamdenoise.io.timeouts import Interruption

log = logging.getLogger(__name__)

# A shorter connection counts as a failed attempt: a server may accept each connection
# and drop it immediately.
_SETTLED_S = 3.0

_LOG_AGAIN_S = 600.0


class RetryingSink(Completing):
    """Wraps a sink that may fail mid-stream, and reopens it.

    While the sink is unavailable, frames are dropped, and `write` reopens it after the
    backoff time. Everything runs in the thread that writes. With `Reconnect.first` that
    includes the first attempt, so that a target that does not answer never delays the
    start.

    Attributes:
        reconnects: Times that the sink recovered, that is, wrote a frame again.
        dropped: Frames that were not written.
        error: Why the sink is unavailable; empty while it works.

    Args:
        open_sink: Opens the sink. Its argument ends all waits when `interrupt` is
            called.
        name: Name of the target for messages, without credentials.
        reconnect: Number of consecutive attempts, and whether the first frame opens the
            sink (`first`) instead of the constructor.
        must_recover: Whether `close` fails while the sink is unavailable, because what
            it lacks is lost. Viewers of a stream are simply gone.
        backoff: Waits between attempts.
        refusals: Waits after a refused password that was right before; one that is
            wrong from the beginning ends the attempts.
        clock: Returns monotonic seconds.

    Raises:
        SinkError: The sink cannot be opened, and `reconnect.first` is False.
    """

    def __init__(
        self,
        open_sink: Callable[[Interruption], Sink],
        name: str,
        *,
        reconnect: Reconnect,
        must_recover: bool = False,
        backoff: Backoff | None = None,
        refusals: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reconnects = 0
        self.dropped = 0
        self.error = ""
        self._open_sink = open_sink
        self._name = name
        self._attempts = reconnect.attempts
        self._must_recover = must_recover
        self._backoff = backoff or Backoff()
        self._refusals = refusals or after_refusals()
        self._was_accepted = False
        self._clock = clock
        self._interruption = Interruption()
        self._sink: Sink | None = None
        self._final_error: SinkError | None = None
        self._closed = False
        self._failed_attempts = 0
        self._was_lost = False
        self._opened_at = self._lost_at = self._next_at = clock()
        self._dropped_before = 0
        self._unproven = 0  # frames that no one knows to have arrived
        self._logged_at: float | None = None
        self._loss_is_logged = False
        self._unlogged = ""
        self._notes: dict[str, None] = {}
        if not reconnect.first:
            self._sink = open_sink(self._interruption)
            self._was_accepted = True

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of all sinks opened so far, without duplicates."""
        if self._sink is not None:
            self._notes |= dict.fromkeys(self._sink.notes)
        return tuple(self._notes)

    def interrupt(self) -> None:
        """End waits for the network, from any thread; further frames are dropped."""
        self._interruption.set()

    def write(self, frame: Frame) -> None:
        """Write the frame, or drop it while the sink is unavailable.

        Raises:
            SinkError: The sink has failed permanently.
            ValueError: The size or format of the frame does not fit the sink.
        """
        if self._closed:
            raise ValueError("the sink is closed")
        if self._final_error is not None:
            raise self._final_error
        if self._interruption.is_set:
            self.dropped += 1
            return
        if self._sink is None and self._clock() >= self._next_at:
            self._reopen()
        if self._sink is None:
            self.dropped += 1
            return
        try:
            self._sink.write(frame)
        except SinkError as exc:
            self.dropped += 1 + self._unproven
            self._unproven = 0
            if self._is_settled() or not self._was_lost:
                self._failed_attempts = 0
                self._logged_at = None
                self._backoff.reset()
                self._refusals.reset()
            else:
                self._failed_attempts += 1
            self._lose(exc)
        else:
            if self.error:
                self._unproven += 1
                if self._has_arrived():
                    self._note_recovery()
            if self._unlogged and self._is_settled():
                log.warning("%s", self._unlogged)
                self._unlogged = ""

    def close(self) -> None:
        """Complete the output, unless it is unavailable.

        Raises:
            SinkError: The output could not be completed, or still lacks frames.
        """
        if self._closed:
            return
        self._closed = True
        if self._sink is not None:
            self._sink.close()
            if self.error:
                self._note_recovery()
        elif self.error and self._must_recover:
            lost = self.dropped - self._dropped_before
            raise SinkError(f"{self.error}; the last {lost} frames were not written")

    def abort(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._sink is not None:
            self._sink.abort()

    def _reopen(self) -> None:
        try:
            self._sink = self._open_sink(self._interruption)
        except SinkError as exc:
            self._failed_attempts += 1
            self._lose(exc)
            return
        self._was_accepted = True
        self._opened_at = self._clock()

    def _is_settled(self) -> bool:
        return self._clock() - self._opened_at >= _SETTLED_S

    def _has_arrived(self) -> bool:
        """Whether a frame has arrived since the sink was opened again.

        Neither an opened sink nor a write that returns is enough: files can be opened
        on a full disk, and encoders and caches hold the first frames back.
        """
        return not isinstance(self._sink, Proving) or self._sink.is_proven

    def _note_recovery(self) -> None:
        self.error = ""
        self._unproven = 0
        self.reconnects += 1
        self._unlogged = (
            f"{self._name} is back after {self._opened_at - self._lost_at:.1f} s; "
            f"{self.dropped - self._dropped_before} frames were not written"
        )
        self._dropped_before = self.dropped
        if self._loss_is_logged:
            log.warning("%s", self._unlogged)
            self._loss_is_logged, self._unlogged = False, ""

    def _lose(self, exc: SinkError) -> None:
        """Abort the sink and schedule the next attempt.

        Raises:
            SinkError: No attempt is left.
        """
        now = self._clock()
        if not self.error:
            self._lost_at = now
        self._was_lost, self._unlogged, self.error = True, "", str(exc)
        sink, notes = self._sink, self.notes
        self._sink = None
        if sink is not None:
            sink.abort()
            self._notes |= dict.fromkeys(notes)
        if self._interruption.is_set:
            return
        is_refused = isinstance(exc, SinkRefusedError)
        if (is_refused and not self._was_accepted) or (
            self._attempts is not None and self._failed_attempts >= self._attempts
        ):
            self._final_error = exc
            raise exc
        wait_s = (self._refusals if is_refused else self._backoff).next_s()
        self._next_at = self._clock() + wait_s
        self._log_loss(wait_s)

    def _log_loss(self, wait_s: float) -> None:
        """Log the failure once, and again every 10 minutes: it may last for days."""
        now = self._clock()
        if self._logged_at is not None and now - self._logged_at < _LOG_AGAIN_S:
            return
        many = (
            f" ({self._failed_attempts} attempts failed)"
            if self._failed_attempts > 1
            else ""
        )
        log.warning("%s; next attempt in %.1f s%s", self.error, wait_s, many)
        self._logged_at, self._loss_is_logged = now, True
