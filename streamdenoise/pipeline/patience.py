"""How long the stages of a pipeline may take without finishing anything."""

import time
from collections import deque
from collections.abc import Callable

from streamdenoise.progress import HANG_S

_BUSY_S = 60.0
"""Large frames, slow encoders and files of many pictures may need this long at once."""

_WINDOW_S, _SAMPLE_S = 2.0, 0.25
_IDLE_SHARE = 0.1


class Patience:
    """The limit of `Stage.hang` for a file, which may take as long as it needs.

    What is slow keeps a processor busy; what hangs does not. So the limit is short
    while the process is idle.

    Args:
        clock: Returns seconds.
        cpu_clock: Returns the CPU time of the process in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._samples: deque[tuple[float, float]] = deque()

    def __call__(self) -> float:
        """The limit now, in seconds; call it several times a second."""
        now, cpu = self._clock(), self._cpu_clock()
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now, cpu))
        while len(self._samples) > 1 and now - self._samples[1][0] >= _WINDOW_S:
            self._samples.popleft()
        since, cpu_then = self._samples[0]
        is_known = now - since >= _WINDOW_S
        is_idle = is_known and cpu - cpu_then < _IDLE_SHARE * (now - since)
        return HANG_S if is_idle else _BUSY_S
