"""Detects a reader that is too slow for its live stream."""

import math
import time
from collections import deque
from collections.abc import Callable

_WINDOW_S = 1.0
_MAX_LAG_S = 1.0

# Share of a window: a reader that waits less has a backlog of packets.
_WAITED = 0.05

# A backlog shrinks by itself if the lag falls by this many seconds a second.
_CATCHING_UP = 0.5

_REMEMBERED_WINDOWS = 60


class CatchUp:
    """Detects when packets arrive faster than the reader takes them.

    The lag is the delay of packets, by their own clock, beyond the smallest one seen.
    It counts only while the reader never waits: a stalled connection makes packets
    late, too, but a reader that is fast enough soon waits again.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._restart()

    def _restart(self) -> None:
        self._best: deque[float] = deque(maxlen=_REMEMBERED_WINDOWS)
        self._last_s = -math.inf
        self._lag_s = 0.0
        self._begin_window()

    def _begin_window(self) -> None:
        self._window = self._clock()
        self._waited_s = 0.0
        self._lowest = math.inf

    def packet(self, time_s: float, waited_s: float) -> bool:
        """Report a packet.

        Args:
            time_s: Its decoding time in seconds.
            waited_s: How long the reader waited for it.

        Returns:
            Whether the reader should skip its backlog.
        """
        if time_s < self._last_s - _MAX_LAG_S:
            self._restart()  # the clock was set back: times cannot be compared
        self._last_s = time_s
        now = self._clock()
        offset = now - time_s
        self._waited_s += waited_s
        self._lowest = min(self._lowest, offset)
        elapsed = now - self._window
        if elapsed < _WINDOW_S:
            return False
        waits = self._waited_s > _WAITED * elapsed
        if waits or not self._best:
            self._best.append(self._lowest)
        before, self._lag_s = self._lag_s, offset - min(self._best)
        self._begin_window()
        shrinks = self._lag_s < before - _CATCHING_UP * elapsed
        return not waits and not shrinks and self._lag_s > _MAX_LAG_S
