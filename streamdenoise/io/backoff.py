"""How long to wait before what failed is tried again."""

import random


class Backoff:
    """Waits that double, up to a longest one, with jitter.

    Each wait is drawn between half of its step and all of it: many that lost the same
    server do not come back to it at the same moment.
    """

    def __init__(
        self,
        first_s: float = 0.1,
        longest_s: float = 30.0,
        *,
        rng: random.Random | None = None,
    ) -> None:
        if not 0 < first_s <= longest_s:
            raise ValueError(f"0 < first_s <= longest_s, got {first_s}, {longest_s}")
        self._first_s = first_s
        self._longest_s = longest_s
        self._rng = rng or random.Random()
        self._step_s = first_s

    def next_s(self) -> float:
        """Seconds to wait before the next attempt; never 0."""
        step_s = self._step_s
        self._step_s = min(2 * step_s, self._longest_s)
        return self._rng.uniform(step_s / 2, step_s)

    def reset(self) -> None:
        """Begin with the first wait again, after a success."""
        self._step_s = self._first_s
