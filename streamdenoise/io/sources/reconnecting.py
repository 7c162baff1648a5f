"""A camera or stream that is opened again whenever it is lost."""

import gc
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Self

from streamdenoise.contexts import Closing
from streamdenoise.errors import (
    ConfigError,
    SourceError,
    SourceLostError,
    SourceOpenError,
    SourceRefusedError,
)
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.options import Reconnect

if TYPE_CHECKING:
    from streamdenoise.io.protocols import Source

log = logging.getLogger(__name__)

# A session that lasted so long was a good one: the next loss is a new one.
_GOOD_S = 3.0

# Who waits inside FFmpeg for a network cannot be woken; it closes what it holds itself.
_LEAVE_S = 0.3

_TICK_S = 1.0
_LOG_AGAIN_S = 600.0
_MOST_NOTES = 20

Opener = Callable[[StreamInfo | None], "Source"]
"""Opens a session: the first one with None, the later ones with the first one's info,
whose size and format their frames must have."""


class ReconnectingSource(Closing):
    """Gives the frames of one session after the other, as one live stream.

    Between sessions it waits, longer each time. Each session has timestamps and a time
    base of its own; `LiveClock` puts them on one timeline. A source that refuses the
    password is not tried again.

    Entering the context opens the first session. `stop` may be called from any thread
    or signal handler, also while that is going on; a thread that waits for the network
    then ends by itself, within the time-out of the session.

    Attributes:
        reconnects: how often it was lost and came back.
        error: why it is away; empty while it gives frames.
    """

    info: StreamInfo
    """Of the first session; its notes are those of all."""

    def __init__(
        self,
        open_session: Opener,
        name: str,
        reconnect: Reconnect,
        *,
        duration_s: float | None = None,
        while_waiting: Callable[[], None] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare to open sessions; nothing happens before the context is entered.

        Args:
            open_session: Opens one.
            name: For messages, without credentials.
            reconnect: How often it is tried again.
            duration_s: Of the whole stream, in seconds; None has no end.
            while_waiting: Called about once a second until the first one is open.
            backoff: Waits between attempts.
        """
        self.reconnects = 0
        self.error = ""
        self._open_session = open_session
        self._name = name
        self._reconnect = reconnect
        self._duration_s = duration_s
        self._while_waiting = while_waiting
        self._backoff = backoff or Backoff()
        # Not events, whose locks are not re-entrant: signal handlers call `stop`.
        self._changed = Condition()
        self._is_stopped = False
        self._is_opened = False
        self._failure: BaseException | None = None
        self._using = Lock()  # held by the one thread that is inside a session
        self._session: Source | None = None
        self._frames: Iterator[Frame] = iter(())
        self._skipped = 0
        self._began_at = self._lost_at = 0.0
        self._attempts = 0  # in a row
        self._ends_at = math.inf
        self._logged: tuple[str, float] = ("", 0.0)

    @property
    def skipped(self) -> int:
        return self._skipped + (self._session.skipped if self._session else 0)

    def __enter__(self) -> Self:
        """Open the first session.

        Raises:
            SourceOpenError: It cannot be opened, or `stop` was called meanwhile.
        """
        # In a thread, as signal handlers only run where Python does, not FFmpeg.
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
        """End the stream soon; any number of times."""
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
        """Alone in the session; who comes out after `close` does its work."""
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
        except BaseException as exc:  # any kind: it is raised again by `__enter__`
            self._failure = exc
        finally:
            with self._changed:
                self._is_opened = True
                self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Until `condition` holds, or so long; whether it does."""
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
                # A decoder's or converter's fault is a loss, too: it must not end what
                # runs for months. What is wrong is told with its traceback.
                log.error("%s failed", self._name, exc_info=exc)
                what = f"{type(exc).__name__}: {exc}"
                self._lose(SourceLostError(f"{self._name}: the stream failed ({what})"))
        return None

    def _connect(self, info: StreamInfo | None) -> None:
        """Try until a session is open, the attempts are used up, `stop`, or the end."""
        while not self._is_stopped:
            if info is not None or self._attempts:
                left_s = self._ends_at - time.monotonic()
                wait_s = self._backoff.next_s()
                if self._wait(lambda: self._is_stopped, min(wait_s, left_s)):
                    return
                if wait_s >= left_s:
                    return
            self._attempts += 1
            try:
                self._begin(info)
            except SourceRefusedError:
                raise
            except SourceOpenError as exc:
                self.error = _what_happened(exc)
                if self._is_last_attempt:
                    raise
                self._log(
                    f"{_what_happened(exc)}; attempt {self._attempts}, trying again"
                )
            else:
                return

    @property
    def _is_last_attempt(self) -> bool:
        """Whether no more are allowed; a session that is soon lost was one of them."""
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
        """Leave the session; the next one is opened if that is allowed."""
        self._lost_at = time.monotonic()
        self.error = _what_happened(exc)
        if self._lost_at - self._began_at > _GOOD_S:
            self._backoff.reset()
            self._attempts = 0
        with self._inside():
            self._end_session()
        if self._is_last_attempt:
            raise exc
        if not self._is_stopped:
            self._log(f"{_what_happened(exc)}; connecting again")

    def _log(self, text: str) -> None:
        """Once, and now and then while it goes on: it may go on for days."""
        said, at = self._logged
        now = time.monotonic()
        again = said != "" and now - at < _LOG_AGAIN_S
        log.log(logging.INFO if again else logging.WARNING, "%s", text)
        if not again:
            self._logged = (text, now)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self._frames = iter(())
        self._skipped += session.skipped
        session.close()
        notes = dict.fromkeys([*self.info.notes, *session.info.notes])
        self.info = replace(self.info, notes=tuple(notes)[:_MOST_NOTES])
        # PyAV's containers and streams hold each other, and the decoder's threads live
        # as long as they: a month of reconnections must not wait for a full collection.
        del session
        gc.collect()


def _what_happened(exc: SourceError) -> str:
    """The error's sentence without its advice, which we follow ourselves."""
    return str(exc).partition(";")[0]
