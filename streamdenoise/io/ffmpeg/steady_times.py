"""Times of copied sound: without gaps between packets as long as these are right."""

_TOLERANCE_S = 0.015
"""Sound off by less is not heard as such; each correction is."""


class SteadyTimes:
    """Lets packets follow each other, and corrects that before it is out of sync.

    A clock that runs slowly or fast makes packets too short or too long for the times
    between them. Once that has added up to 15 ms, the next packet is put where it
    belongs, and once to a whole packet, one is left out.

    Args:
        rate: Ticks of the result a second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._next: float | None = None

    def __call__(self, wanted_s: float, duration_s: float) -> int | None:
        """When to play the next packet, in ticks; None leaves it out.

        Args:
            wanted_s: When it should be, in seconds.
            duration_s: How long it plays.
        """
        wanted, duration = wanted_s * self._rate, duration_s * self._rate
        tolerance = _TOLERANCE_S * self._rate
        late = 0.0 if self._next is None else self._next - wanted
        if self._next is None or late < -tolerance or not duration:
            self._next = wanted
        elif late >= max(duration, tolerance):
            return None
        at = self._next if late <= tolerance else wanted
        self._next += duration
        return round(at)
