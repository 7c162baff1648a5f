"""Occasional log lines about dropped frames."""

import logging
from collections.abc import Mapping

log = logging.getLogger(__name__)

_LONGEST_INTERVAL_S = 600.0


class DropLog:
    """Logs the drops of an interval together, naming the slow part.

    The interval doubles while drops continue, up to ten minutes.
    """

    def __init__(self, interval_s: float) -> None:
        self._first_interval_s = self._interval_s = interval_s
        self._logged = 0
        self._logged_at = 0.0

    def start(self, now: float) -> None:
        """Begin the first interval."""
        self._logged_at = now

    def ignore(self, drops: Mapping[str, int]) -> None:
        """Do not log the drops so far."""
        self._logged = sum(drops.values())

    def update(self, drops: Mapping[str, int], now: float, final: bool = False) -> None:
        """Log if the interval is over, or at the end of the run.

        Args:
            drops: Frames dropped so far, by the part that was too slow.
            now: Seconds.
            final: Whether this is the last call.
        """
        elapsed_s = now - self._logged_at
        if elapsed_s < self._interval_s and not final:
            return
        dropped = sum(drops.values())
        if new := dropped - self._logged:
            slow = max(drops, key=lambda cause: drops[cause])
            log.warning(
                "%s is too slow, dropped %d frames in %.0f s", slow, new, elapsed_s
            )
            self._interval_s = min(2 * self._interval_s, _LONGEST_INTERVAL_S)
        else:
            self._interval_s = self._first_interval_s
        self._logged = dropped
        self._logged_at = now
