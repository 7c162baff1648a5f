"""Decides from lags alone how much work to save on a machine that is too slow."""

import time
from collections import deque
from collections.abc import Callable
from statistics import median_low

_WINDOW_S = 1.0
"""Lags are judged over this time."""
_SPAN_S = 0.5
"""They are not judged before they span at least this time."""
_WAIT_S, _LONGEST_WAIT_S = 10.0, 300.0
"""Time before a better step is tried, in seconds: initial and longest."""
_PROVEN_S = 60.0
"""If a better step fails sooner, the next wait for it is twice as long."""
_QUIET_S = 600.0
"""After a step has been used this long, its wait returns to the initial one."""


class LoadGovernor:
    """Chooses a step on a ladder of decreasing load; step 0 is full load.

    It goes down while frames are late, and up again, one step at a time, after they
    have been in time for a while. Not thread-safe.

    Attributes:
        step: the step to use now.
        lag_ms: median lag of the frames of about the last second that were captured
            since the last switch.
    """

    def __init__(
        self,
        steps: int,
        max_lag_ms: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at full load.

        Args:
            steps: number of steps; the last must be fast enough in any case.
            max_lag_ms: limit of the lag, more than 0.
            clock: returns seconds.
        """
        if steps < 1 or not max_lag_ms > 0:
            raise ValueError(
                f"steps must be 1 or more and max_lag_ms above 0, got {steps} and "
                f"{max_lag_ms}"
            )
        self.step = 0
        self.lag_ms = 0.0
        self._max_lag_ms = max_lag_ms
        self._clock = clock
        self._lags: deque[tuple[float, float]] = deque()
        self._waits_s = [_WAIT_S] * steps  # before each step is tried again
        self._switched_at = self._trouble_at = clock()
        self._went_up = False

    def update(self, lag_ms: float) -> int:
        """Take in the lag of a frame.

        Args:
            lag_ms: time from its capture until now.

        Returns:
            The step to use for the next frames, 0 to ``steps - 1``.
        """
        now = self._clock()
        if now - lag_ms / 1000 < self._switched_at:
            return self.step  # the frame was queued while another step was in use
        lags = self._lags
        lags.append((now, lag_ms))
        # A stream with less than one frame a second keeps two.
        while len(lags) > 2 and lags[0][0] < now - _WINDOW_S:
            lags.popleft()
        # The lower of two, because a single late frame does not count.
        self.lag_ms = median_low(lag for _, lag in lags)
        held_s = now - self._switched_at
        if held_s >= _QUIET_S:
            self._waits_s[self.step :] = [_WAIT_S] * (len(self._waits_s) - self.step)
        if self.lag_ms > self._max_lag_ms:
            self._trouble_at = now
            # Frames may still be catching up after a switch.
            soon_ms = 2 * lag_ms - lags[0][1]
            is_clear = now - lags[0][0] >= _SPAN_S and soon_ms > self._max_lag_ms
            if is_clear and self.step + 1 < len(self._waits_s):
                if self._went_up and held_s < _PROVEN_S:
                    longer = 2 * self._waits_s[self.step]
                    self._waits_s[self.step] = min(longer, _LONGEST_WAIT_S)
                self._switch(now, self.step + 1)
        elif self.step and now - self._trouble_at >= self._waits_s[self.step - 1]:
            self._switch(now, self.step - 1)
        return self.step

    def _switch(self, now: float, step: int) -> None:
        self._went_up = step < self.step
        self.step = step
        self._switched_at = self._trouble_at = now
        self._lags.clear()
