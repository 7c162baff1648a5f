"""How far two streams of one camera have drifted apart, by when they arrive."""

from collections import deque

_BUCKET_S = 1.0
_BUCKETS = 30
"""Length of the line through the least delayed packets, in seconds."""

_FIRST_BUCKETS = 5
"""Nothing is known before that."""

_JUMP_S = 0.02
_JUMP_BUCKETS = 3
"""A clock that is off its line by more, for so long, has jumped, as when a camera says
for the first time how its clocks belong together. Before that, packets may be stuck."""

_DEADBAND_S = 0.01


class Drift:
    """Measures the drift between the clocks of sound and video.

    Over RTP each stream counts by a clock of its own, and not every camera says how
    they belong together. Both are compared with our clock: a line is laid through the
    least delayed packet of each second, so single delays do not count. All times are in
    seconds.
    """

    def __init__(self) -> None:
        self._video, self._sound = _Line(), _Line()
        self._base: float | None = None
        self._lead = 0.0

    def video(self, pts: float, arrival: float) -> None:
        """Report a packet of the video."""
        if self._video.add(pts, arrival):
            self._restart()

    def sound(self, pts: float, arrival: float) -> float:
        """Report a packet of the sound.

        Returns:
            How much its clock has run ahead of the video's since the beginning.
        """
        if self._sound.add(pts, arrival):
            self._restart()
        if self._video.is_known and self._sound.is_known:
            lead = self._sound.at(arrival) - self._video.at(arrival)
            if self._base is None:
                begin = max(self._video.begin, self._sound.begin)
                known = self._sound.at(begin) - self._video.at(begin)
                self._base = known - self._lead
            if abs(lead - self._base - self._lead) > _DEADBAND_S:
                self._lead = lead - self._base
        return self._lead

    def _restart(self) -> None:
        """Trust what the timestamps say from now on, apart from the drift so far."""
        self._video, self._sound = _Line(), _Line()
        self._base = None


class _Line:
    """A clock against ours: the line through its least delayed packets."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=_BUCKETS)
        self._best: tuple[float, float] | None = None
        self._ends = 0.0
        self._off = 0
        self.begin = 0.0
        """When the first packet arrived."""

    @property
    def is_known(self) -> bool:
        return len(self._points) >= _FIRST_BUCKETS

    def add(self, pts: float, arrival: float) -> bool:
        """Add a packet; returns whether the clock has jumped."""
        ahead = pts - arrival
        if self._best is None:
            if not self._points:
                self.begin = arrival
            self._best, self._ends = (arrival, ahead), arrival + _BUCKET_S
        elif ahead > self._best[1]:
            self._best = (arrival, ahead)
        if arrival < self._ends:
            return False
        point, self._best = self._best, None
        expected = self._expected(point[0])
        if expected is not None and abs(point[1] - expected) > _JUMP_S:
            self._off += 1
            return self._off >= _JUMP_BUCKETS
        self._off = 0
        self._points.append(point)
        return False

    def _expected(self, arrival: float) -> float | None:
        if not self._points:
            return None
        return self.at(arrival) if self.is_known else self._points[-1][1]

    def at(self, arrival: float) -> float:
        """How far this clock is ahead of ours at `arrival`."""
        count = len(self._points)
        middle = sum(x for x, _ in self._points) / count
        level = sum(y for _, y in self._points) / count
        spread = sum((x - middle) ** 2 for x, _ in self._points)
        lean = sum((x - middle) * (y - level) for x, y in self._points)
        return level + (lean / spread) * (arrival - middle)
