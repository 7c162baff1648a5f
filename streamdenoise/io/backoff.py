"""Waits between attempts."""

import random


class Backoff:
    """Waits that double up to a maximum, with jitter.

    Each wait is drawn between half of its step and all of it, so that many clients that
    lost the same server do not return to it at the same moment.
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
        """Start again with the first wait, after a success."""
        self._step_s = self._first_s


def after_refusals() -> Backoff:
    """Waits after a refused password that was right before, as by a booting camera.

    Cameras lock an account after five wrong passwords in half an hour, or more.
    """
    return Backoff(300.0, 900.0)
