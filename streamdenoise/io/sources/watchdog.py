"""Detects live streams that still send packets but are no longer usable."""

import math
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from statistics import median

# A clock that goes back by more than this was reset; by less, it is stuck.
_RESET_S = 1.0

# Frames a second, as a multiple of the declared or measured rate.
_FLOOD = 4

_FLOOD_WINDOW_S = 5.0
_HIGHEST_RATE = 240.0

_MEASURED_STEPS = 32


class StreamWatchdog:
    """Decides when a live stream counts as lost although packets arrive.

    It detects three faults: packets that decode to no frame, for `timeout_s`; a clock
    that stands still, for half of that; and far more frames than the stream's rate, for
    longer than a connection that was stalled for `timeout_s` would send. Clocks that
    jump or restart are not faults.

    Args:
        timeout_s: Longest wait for a frame, in seconds.
        frame_rate: Declared frames a second; None if unknown.
        comes_in_bursts: Whether the stream is fetched in large segments, which look
            like floods.
        clock: Returns the time in seconds.
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
        self._without_frame: float | None = None
        self._without_advance: float | None = None

    def frame(self) -> None:
        """Report that a frame was decoded."""
        self._without_frame = None

    def packet(self, pts_s: float | None) -> str | None:
        """Report a packet with its time in seconds; None if it has none.

        Returns:
            Why the stream counts as lost, or None.
        """
        now = self._clock()
        if self._without_frame is None:
            self._without_frame = now
        elif now - self._without_frame > self._timeout_s:
            return "no frame can be decoded any more"
        if pts_s is not None and self._is_stuck(pts_s, now):
            return "its clock stands still"
        if self._is_flood(pts_s, now):
            return "it sends far more frames than it should"
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
            # Declared rates may be wrong; the true rate must not look like a flood.
            step_s = median(abs(b - a) for a, b in pairwise(self._first_pts_s))
            measured = 1 / step_s if step_s > 1 / _HIGHEST_RATE else 0.0
            rate = max(self._declared, measured) or _HIGHEST_RATE
            most = math.ceil(_FLOOD * rate * self._window_s)
            self._arrivals = deque(maxlen=most)
        self._arrivals.append(now)
        is_full = len(self._arrivals) == self._arrivals.maxlen
        return is_full and now - self._arrivals[0] < self._window_s
