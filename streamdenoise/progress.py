"""What the stages of a job finish: the only proof that they work.

A disk, an encoder or a driver that hangs reports no error, because the call into it
never returns. So each stage notes what it has in hand, and whoever watches it reads how
long nothing of that was finished.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock, Thread, get_ident
from typing import TypeVar

from streamdenoise.errors import HungError

HANG_S = 10.0
"""A stage hangs if it has had work in hand for so many seconds, and finished none.

Live stages work on one frame at a time, or on one packet of the end of a file.
"""

T = TypeVar("T")


class Stage:
    """The work that a stage has in hand; any number of threads may work at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._in_hand: dict[int, tuple[str, float]] = {}

    @contextmanager
    def doing(self, what: str) -> Generator[None]:
        """The calling thread does `what`, such as "writing a frame", in the block."""
        thread = get_ident()
        with self._lock:
            outer = self._in_hand.get(thread)
            self._in_hand[thread] = (what, self._clock())
        try:
            yield
        finally:
            with self._lock:
                del self._in_hand[thread]
                if outer is not None:
                    self._in_hand[thread] = (outer[0], self._clock())

    def advance(self) -> None:
        """Note that the calling thread has finished a part of its work."""
        thread = get_ident()
        with self._lock:
            if thread in self._in_hand:
                self._in_hand[thread] = (self._in_hand[thread][0], self._clock())

    def hang(self, limit_s: float = HANG_S) -> str:
        """What hangs, and for how long; empty if nothing has for `limit_s` seconds."""
        with self._lock:
            works = list(self._in_hand.values())
        if not works:
            return ""
        what, since = min(works, key=lambda work: work[1])
        late_s = self._clock() - since
        return (
            f"no progress for {late_s:.0f} s while {what}" if late_s > limit_s else ""
        )


def within(limit_s: float, what: str, action: Callable[[], T]) -> T:
    """The result of `action`, which is left behind if it takes longer than `limit_s`.

    Args:
        limit_s: Seconds to wait.
        what: What the action does, such as "opening a.mkv".
        action: Runs in a daemon thread.

    Raises:
        HungError: It has not ended in time.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as exc:  # of any kind: the caller raises it
            errors.append(exc)

    thread = Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not results:
        raise HungError(
            f"{what} hangs: there is no answer for {limit_s:g} s; check the disk"
        )
    return results[0]
