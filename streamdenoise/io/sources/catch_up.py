"""When a reader of a live stream is too slow for it."""

import math
import time
from collections import deque
from collections.abc import Callable

_WINDOW_S = 1.0
_MAX_LAG_S = 1.0

# Of a window: who waits for less of it has packets in stock.
_WAITED = 0.05

# Seconds of lag that have to go in a second for a stock to be worked off by itself.
_CATCHING_UP = 0.5

_REMEMBERED_WINDOWS = 60


class CatchUp:
    """Tells when packets pile up before a reader faster than it takes them.

    The lag is how much later than at the best of times packets are read, by their own
    clock. It counts only while the reader never had to wait: a line that was stalled
    makes packets late, too, but a reader that is fast enough soon waits again.

    Args:
        clock: Gives the time in seconds.
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
        """Tell of a packet, its time of decoding, and how long it was waited for.

        Returns:
            Whether the reader should leave out what it has in stock.
        """
        if time_s < self._last_s - _MAX_LAG_S:
            self._restart()  # the clock was set back: nothing can be compared
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
