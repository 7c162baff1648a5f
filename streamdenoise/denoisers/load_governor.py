"""How much to leave out on a machine that is too slow, decided from lags alone."""

import time
from collections import deque
from collections.abc import Callable
from statistics import median_low

_WINDOW_S = 1.0
"""Lags are judged over this time."""
_SPAN_S = 0.5
"""And not before the frames that are judged span this one."""
_WAIT_S, _LONGEST_WAIT_S = 10.0, 300.0
"""How long a step is held before a better one is tried: at first, and at most."""
_PROVEN_S = 60.0
"""A better step that fails sooner is waited for twice as long the next time."""
_QUIET_S = 600.0
"""A step that holds so long is waited for as briefly as at first."""


class LoadGovernor:
    """Chooses a step on a ladder of ever lower load; steps count from 0, full load.

    It goes down while frames come late, and up again, one step at a time, once there
    was no trouble for a while. Not thread-safe.

    Attributes:
        step: the step to use now.
        lag_ms: median lag of about the last second, of frames captured since the last
            switch.
    """

    def __init__(
        self,
        steps: int,
        max_lag_ms: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at full load.

        Args:
            steps: how many there are, the last of which is always fast enough.
            max_lag_ms: the lag that frames may have, more than 0.
            clock: seconds.
        """
        if steps < 1 or not max_lag_ms > 0:
            raise ValueError(f"no ladder: {steps} steps, {max_lag_ms} ms")
        self.step = 0
        self.lag_ms = 0.0
        self._max_lag_ms = max_lag_ms
        self._clock = clock
        self._lags: deque[tuple[float, float]] = deque()
        self._waits_s = [_WAIT_S] * steps  # before each step is tried again
        self._switched_at = self._trouble_at = clock()
        self._went_up = False

    def update(self, lag_ms: float) -> int:
        """Take in how late a frame came out and say what to do with the next ones.

        Args:
            lag_ms: from its capture until now.

        Returns:
            The step to use, 0 to ``steps - 1``.
        """
        now = self._clock()
        if now - lag_ms / 1000 < self._switched_at:
            return self.step  # it waited in the queue while another step was in use
        lags = self._lags
        lags.append((now, lag_ms))
        # Two are kept of a stream that has fewer than one frame in a second.
        while len(lags) > 2 and lags[0][0] < now - _WINDOW_S:
            lags.popleft()
        # The lower one of two, as a single late frame is no trouble yet.
        self.lag_ms = median_low(lag for _, lag in lags)
        held_s = now - self._switched_at
        if held_s >= _QUIET_S:
            self._waits_s[self.step :] = [_WAIT_S] * (len(self._waits_s) - self.step)
        if self.lag_ms > self._max_lag_ms:
            self._trouble_at = now
            # What was late before the switch may still have to catch up.
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
