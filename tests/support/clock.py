"""A clock that only tests move."""


class Clock:
    """Seconds, moved by setting `now`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
