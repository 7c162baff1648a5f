"""A clock for the ages of recordings, which nobody can set."""

import time
from collections.abc import Callable
from datetime import datetime
from threading import Lock

# A break between two runs counts up to this long, in seconds: only the wall clock knows
# how long it was, and may be wrong.
_TRUSTED_BREAK_S = 60.0

# The same for a break of a run that goes on, such as a sleep of the machine.
_TRUSTED_PAUSE_S = 3600.0


def steady_s() -> float:
    """Seconds of a clock that is never set and goes on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class AgeClock:
    """The clock of a job, which runs while the job does; any thread may read it.

    A break between two runs adds up to a minute, and one of a run that goes on up to an
    hour.
    """

    def __init__(
        self, now: Callable[[], datetime], steady: Callable[[], float]
    ) -> None:
        """Start at 0.

        Args:
            now: Returns the local time.
            steady: Returns seconds that are never set.
        """
        self._now = now
        self._steady = steady
        self._mutex = Lock()
        self._begun_s = self._seen_s = steady()
        self._wall_s = now().timestamp()
        self._own_s = 0.0

    def resume(self, own_s: float, wall_s: float) -> None:
        """Continue from a time that this clock and the wall clock had last."""
        break_s = min(max(0.0, self._wall_s - wall_s), _TRUSTED_BREAK_S)
        self._own_s = own_s + break_s

    def now_s(self) -> float:
        """The time of this clock, in seconds; call it often."""
        with self._mutex:
            steady_s = self._steady()
            passed_s = steady_s - self._seen_s
            self._own_s += min(max(0.0, passed_s), _TRUSTED_PAUSE_S)
            self._seen_s = steady_s
            return self._own_s

    def wall_s(self) -> float:
        """The time of the wall clock, in seconds of `time.time`."""
        return self._now().timestamp()

    def slow_wall_s(self) -> float:
        """The same, but as if nobody had set that clock ahead since the start."""
        return min(self.wall_s(), self._wall_s + self._steady() - self._begun_s)
