"""Who is logged in: random ids in cookies, everything else in memory."""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from streamdenoise.serve.config.server import Rights

IDLE_S = 12 * 3600.0
"""A session ends when nothing was asked in it for so long."""
LIFETIME_S = 30 * 24 * 3600.0
"""A session ends so long after the login."""
MAX_SESSIONS = 1000
"""Beyond this the one that was used least recently ends."""


@dataclass(slots=True)
class Session:
    """One login of a browser."""

    user: str
    rights: Rights
    began: float
    used: float
    id: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    csrf_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """What requests that change something must repeat in a header."""

    def has_csrf_token(self, token: str) -> bool:
        return hmac.compare_digest(self.csrf_token.encode(), token.encode())


class Sessions:
    """The open sessions, from login to logout or expiry."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """No session is open.

        Args:
            clock: Returns seconds.
        """
        self._clock = clock
        self._open: dict[str, Session] = {}

    def open(self, user: str, rights: Rights) -> Session:
        """Begin a session, always under a new id."""
        now = self._clock()
        for id_ in [each.id for each in self._open.values() if self._is_over(each)]:
            del self._open[id_]
        while len(self._open) >= MAX_SESSIONS:
            del self._open[next(iter(self._open))]
        session = Session(user, rights, began=now, used=now)
        self._open[session.id] = session
        return session

    def use(self, id_: str) -> Session | None:
        """The session with this id, which counts as used now; None if it is over."""
        session = self._open.pop(id_, None)
        if session is None or self._is_over(session):
            return None
        session.used = self._clock()
        self._open[id_] = session  # at the end: the first one is the oldest
        return session

    def is_open(self, session: Session) -> bool:
        """Whether nobody logged it out, and it is not over."""
        return session.id in self._open and not self._is_over(session)

    def close(self, id_: str) -> None:
        """End a session, if there is one with this id."""
        self._open.pop(id_, None)

    def _is_over(self, session: Session) -> bool:
        now = self._clock()
        return now - session.used > IDLE_S or now - session.began > LIFETIME_S
