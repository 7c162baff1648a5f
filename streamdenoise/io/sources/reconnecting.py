"""A camera or stream that reconnects by itself when it is lost."""

import gc
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Condition, Lock, Thread
from typing import Self

from streamdenoise.contexts import Closing
from streamdenoise.errors import (
    ConfigError,
    SourceError,
    SourceLostError,
    SourceOpenError,
    SourceRefusedError,
)
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.backoff import Backoff, after_refusals
from streamdenoise.io.options import Reconnect
from streamdenoise.io.protocols import CatchingUp, Compressed, Source

log = logging.getLogger(__name__)

# After a session of this length, attempts and waits start over.
_GOOD_S = 3.0

# A thread blocked inside FFmpeg cannot be interrupted; it closes the session itself.
_LEAVE_S = 0.3

_TICK_S = 1.0
_LOG_AGAIN_S = 600.0
_MOST_NOTES = 20

Opener = Callable[[StreamInfo | None], Source]
"""Opens a session: the first one is given None, later ones the first one's info, whose
size and pixel format their frames must have."""


class ReconnectingSource(Closing):
    """Yields the frames of one session after another as one live stream.

    Each session has its own timestamps and time base; `LiveClock` puts them on one
    timeline. Waits between attempts double. A password that is refused at the first
    connection ends the attempts; one that was right before is tried again slowly.

    Entering the context opens the first session. `stop` may be called from any thread
    or signal handler, even meanwhile; a thread that waits for the network then ends by
    itself, within the session's time-out.

    Attributes:
        reconnects: Number of reconnections so far.
        error: Why the source is away; empty while it yields frames.
    """

    info: StreamInfo
    """Properties of the first session, with the notes of all sessions."""

    def __init__(
        self,
        open_session: Opener,
        name: str,
        reconnect: Reconnect,
        *,
        duration_s: float | None = None,
        while_waiting: Callable[[], None] | None = None,
        backoff: Backoff | None = None,
        refusals: Backoff | None = None,
    ) -> None:
        """Set up the source; entering the context opens the first session.

        Args:
            open_session: Opens a session.
            name: Name of the source in messages, without credentials.
            reconnect: How often a lost session is reconnected.
            duration_s: Length of the whole stream in seconds, by the wall clock; None
                for no end.
            while_waiting: Called about once a second until the first session is open.
            backoff: Waits between attempts.
            refusals: Waits after a refused password that was right before.
        """
        self.reconnects = 0
        self.error = ""
        self._open_session = open_session
        self._name = name
        self._reconnect = reconnect
        self._duration_s = duration_s
        self._while_waiting = while_waiting
        self._backoff = backoff or Backoff()
        self._refusals = refusals or after_refusals()
        # Not events, whose locks are not re-entrant: signal handlers call `stop`.
        self._changed = Condition()
        self._is_stopped = False
        self._is_opened = False
        self._failure: BaseException | None = None
        self._using = Lock()  # held by the thread that uses the session
        self._session: Source | None = None
        self._frames: Iterator[Frame] = iter(())
        self._skipped = self._left_out = self._bytes_read = 0
        self._began_at = self._lost_at = 0.0
        self._attempts = 0  # consecutive
        self._ends_at = math.inf
        self._logged: tuple[str, float] = ("", 0.0)

    @property
    def skipped(self) -> int:
        return self._skipped + (self._session.skipped if self._session else 0)

    @property
    def left_out(self) -> int:
        """See `CatchingUp.left_out`."""
        return self._left_out + _left_out(self._session)

    @property
    def bytes_read(self) -> int:
        """See `Compressed.bytes_read`."""
        return self._bytes_read + _bytes_read(self._session)

    def __enter__(self) -> Self:
        """Open the first session.

        Raises:
            SourceOpenError: It cannot be opened, or `stop` was called meanwhile.
        """
        # In a thread: signal handlers run only between Python instructions.
        thread = Thread(target=self._open_first, name="connect", daemon=True)
        thread.start()
        while not self._wait(lambda: self._is_opened or self._is_stopped, _TICK_S):
            if self._while_waiting is not None:
                self._while_waiting()
        if self._failure is not None:
            raise self._failure
        if self._is_stopped:
            raise SourceOpenError(f"{self._name}: stopped before it was opened")
        return self

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while (frame := self._next_frame()) is not None:
            if index == 0 and self._duration_s is not None:
                self._ends_at = frame.captured_at + self._duration_s
            if frame.captured_at >= self._ends_at:
                return
            yield replace(frame, index=index)
            index += 1

    def stop(self) -> None:
        """End the stream soon; further calls do nothing."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        self.stop()
        if self._using.acquire(timeout=_LEAVE_S):
            try:
                self._end_session()
            finally:
                self._using.release()

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Use the session exclusively; after `stop`, end it on leaving."""
        with self._using:
            try:
                yield
            finally:
                if self._is_stopped:
                    self._end_session()

    def _open_first(self) -> None:
        try:
            if self._reconnect.first:
                self._connect(None)
            else:
                self._begin(None)
        except BaseException as exc:  # of any kind: `__enter__` raises it again
            self._failure = exc
        finally:
            with self._changed:
                self._is_opened = True
                self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait at most `timeout_s` for `condition`; return whether it holds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def _next_frame(self) -> Frame | None:
        while not self._is_stopped:
            try:
                with self._inside():
                    if self._session is not None:
                        return next(self._frames, None)
                self._connect(self.info)
                if self._session is None:
                    return None
            except (SourceOpenError, ConfigError):
                raise
            except SourceError as exc:
                self._lose(exc)
            except Exception as exc:
                # An error of a decoder or converter is a loss, too: it must not end a
                # program that runs for months. The log has its traceback.
                log.error("%s failed", self._name, exc_info=exc)
                what = f"{type(exc).__name__}: {exc}"
                self._lose(SourceLostError(f"{self._name}: the stream failed ({what})"))
        return None

    def _connect(self, info: StreamInfo | None) -> None:
        """Try until a session is open, attempts or duration are used up, or `stop`."""
        wait_s = self._backoff.next_s() if info is not None or self._attempts else 0.0
        while not self._is_stopped:
            left_s = self._ends_at - time.monotonic()
            if self._wait(lambda: self._is_stopped, min(wait_s, left_s)):
                return
            if wait_s >= left_s:
                return
            self._attempts += 1
            try:
                self._begin(info)
            except SourceOpenError as exc:
                is_refused = isinstance(exc, SourceRefusedError)
                if is_refused and info is None:
                    raise
                self.error = what = _what_happened(exc)
                if self._is_last_attempt:
                    raise
                waits = self._refusals if is_refused else self._backoff
                wait_s = waits.next_s()
                if is_refused:
                    log.warning(
                        "%s; it was right before, so it is tried again in %.0f s",
                        what,
                        wait_s,
                    )
                else:
                    self._log(f"{what}; attempt {self._attempts}, trying again")
            else:
                return

    @property
    def _is_last_attempt(self) -> bool:
        """Whether attempts are used up; a session that was soon lost counts as one."""
        allowed = self._reconnect.attempts
        return allowed is not None and self._attempts >= allowed

    def _begin(self, info: StreamInfo | None) -> None:
        with self._inside():
            session = self._open_session(info)
            self._session, self._frames = session, iter(session)
            if info is None:
                self.info = session.info
            else:
                self.reconnects += 1
                away_s = time.monotonic() - self._lost_at
                log.warning("%s: connected again after %.1f s", self._name, away_s)
                self._logged = ("", 0.0)
            self.error = ""
            self._began_at = time.monotonic()

    def _lose(self, exc: SourceError) -> None:
        """End the session; raise `exc` if no attempt is left."""
        self._lost_at = time.monotonic()
        self.error = _what_happened(exc)
        if self._lost_at - self._began_at > _GOOD_S:
            self._backoff.reset()
            self._refusals.reset()
            self._attempts = 0
        with self._inside():
            self._end_session()
        if self._is_last_attempt:
            raise exc
        if not self._is_stopped:
            self._log(f"{_what_happened(exc)}; connecting again")

    def _log(self, text: str) -> None:
        """Warn the first time and every 10 minutes; otherwise log as info."""
        logged, at = self._logged
        now = time.monotonic()
        again = logged != "" and now - at < _LOG_AGAIN_S
        log.log(logging.INFO if again else logging.WARNING, "%s", text)
        if not again:
            self._logged = (text, now)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self._frames = iter(())
        self._skipped += session.skipped
        self._bytes_read += _bytes_read(session)
        self._left_out += _left_out(session)
        session.close()
        notes = dict.fromkeys([*self.info.notes, *session.info.notes])
        self.info = replace(self.info, notes=tuple(notes)[:_MOST_NOTES])
        # PyAV's containers and streams refer to each other and keep the decoder's
        # threads alive: do not wait for a full garbage collection.
        del session
        gc.collect()


def _left_out(session: Source | None) -> int:
    return session.left_out if isinstance(session, CatchingUp) else 0


def _bytes_read(session: Source | None) -> int:
    return session.bytes_read if isinstance(session, Compressed) else 0


def _what_happened(exc: SourceError) -> str:
    """The error's message without its advice, which this source follows itself."""
    return str(exc).partition(";")[0]
