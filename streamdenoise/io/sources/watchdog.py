"""Live streams that go on arriving and are dead all the same."""

import math
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from statistics import median

# A clock that goes back by more was set anew; by less, it is stuck all the same.
_RESET_S = 1.0

# Pictures a second, as a share of the declared or measured rate.
_FLOOD = 4

_FLOOD_WINDOW_S = 5.0
_HIGHEST_RATE = 240.0

_MEASURED_STEPS = 32


class StreamWatchdog:
    """Says why a live stream has to be given up although packets arrive.

    Three things are noticed: packets out of which no picture comes, for `timeout_s`; a
    clock that stands still, for half of it; and far more pictures than the rate of the
    stream, for longer than a line that was stalled for `timeout_s` would give. Clocks
    that run away or start again are none of its business.

    Args:
        timeout_s: Longest wait for a picture, in seconds.
        frame_rate: Declared pictures a second; None if unknown.
        comes_in_bursts: The stream is fetched in large pieces: floods are normal.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        timeout_s: float,
        frame_rate: Fraction | float | None,
        *,
        comes_in_bursts: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._comes_in_bursts = comes_in_bursts
        declared = float(frame_rate or 0)
        self._declared = declared if declared <= _HIGHEST_RATE else 0.0
        self._window_s = max(timeout_s, _FLOOD_WINDOW_S)
        self._first_pts_s: list[float] = []
        self._arrivals: deque[float] | None = None
        self._latest_s = -math.inf
        self._without_picture: float | None = None
        self._without_advance: float | None = None

    def picture(self) -> None:
        """Tell of a picture that was decoded."""
        self._without_picture = None

    def packet(self, pts_s: float | None) -> str | None:
        """Tell of a packet with its time in seconds, None where it has none.

        Returns:
            Why the stream is as good as lost, or None.
        """
        now = self._clock()
        if self._without_picture is None:
            self._without_picture = now
        elif now - self._without_picture > self._timeout_s:
            return "no picture can be decoded any more"
        if pts_s is not None and self._is_stuck(pts_s, now):
            return "its clock stands still"
        if self._is_flood(pts_s, now):
            return "it sends far more pictures than it should"
        return None

    def _is_stuck(self, pts_s: float, now: float) -> bool:
        if pts_s > self._latest_s or pts_s < self._latest_s - _RESET_S:
            self._latest_s = pts_s
            self._without_advance = None
            return False
        if self._without_advance is None:
            self._without_advance = now
        return now - self._without_advance > self._timeout_s / 2

    def _is_flood(self, pts_s: float | None, now: float) -> bool:
        if self._comes_in_bursts:
            return False
        if self._arrivals is None:
            if pts_s is not None:
                self._first_pts_s.append(pts_s)
            if len(self._first_pts_s) <= _MEASURED_STEPS:
                return False
            # Declared rates may be wrong; the true one is not to look like a flood.
            step_s = median(abs(b - a) for a, b in pairwise(self._first_pts_s))
            measured = 1 / step_s if step_s > 1 / _HIGHEST_RATE else 0.0
            rate = max(self._declared, measured) or _HIGHEST_RATE
            most = math.ceil(_FLOOD * rate * self._window_s)
            self._arrivals = deque(maxlen=most)
        self._arrivals.append(now)
        is_full = len(self._arrivals) == self._arrivals.maxlen
        return is_full and now - self._arrivals[0] < self._window_s
