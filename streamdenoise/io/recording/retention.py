"""Retention: limits on age, size and free space, and the recordings beyond them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from streamdenoise.errors import ConfigError
from streamdenoise.units import TIME_UNITS

SIZE_UNITS = {
    f"{prefix}{kind}b": base**power
    for kind, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kmgt", start=1)
}
"""Bytes of kB, MB, GB, TB and of KiB, MiB, GiB, TiB, in lower case."""

SHARE_PER_HOUR = 0.1
"""The share of all recordings that may be deleted in an hour because only the wall
clock says that they are too old."""

_LIMIT = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([a-zA-Z]{1,3}|%)", re.ASCII)
_FREE = re.compile(r"(.*?) ?free", re.ASCII | re.IGNORECASE)

# Without a battery, clocks start in 1970 or decades ahead: such ages are ignored.
_CLOCK_GAP_S = 366 * 86400


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished recording on the disk."""

    name: str
    size_bytes: int
    age_s: float
    """Time since the last write, by the job's own clock, which is never set."""
    clock_age_s: float = 0.0
    """The same by the wall clock, at least."""


@dataclass(frozen=True, slots=True)
class Excess:
    """The recordings to delete."""

    names: list[str] = field(default_factory=list[str])
    """Oldest first."""
    sudden: int = 0
    """How many of these are old by the wall clock alone."""
    held_back: int = 0
    """How many more would be, but are kept until a later hour."""
    lacking_bytes: int = 0
    """Space that the disk lacks even when they are deleted; 0 or more."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits on recordings; without limits, all are kept."""

    max_age_s: float | None = None
    max_bytes: int | None = None
    min_free_bytes: int | None = None
    min_free_share: float | None = None
    """Share of the disk that stays free, 0 to 1."""

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Keep":
        """Parse ages such as ``7d``, sizes such as ``50GB``, and ``10%free``.

        The strictest of several ages, sizes or free spaces applies.

        Raises:
            ConfigError: One of `texts` is none of these.
        """
        ages: list[float] = []
        sizes: list[int] = []
        free: list[int] = []
        shares: list[float] = []
        for text in texts:
            is_free = _FREE.fullmatch(text.strip())
            match = _LIMIT.fullmatch(is_free[1] if is_free else text.strip())
            value = float(match[1]) if match else 0.0
            unit = match[2] if match else ""
            if value > 0 and unit in TIME_UNITS and not is_free:
                ages.append(value * TIME_UNITS[unit])
            elif value > 0 and unit.lower() in SIZE_UNITS:
                kind = free if is_free else sizes
                kind.append(round(value * SIZE_UNITS[unit.lower()]))
            elif 0 < value < 100 and unit == "%" and is_free:
                shares.append(value / 100)
            else:
                raise ConfigError(
                    f"--keep {text} is neither an age nor a size; use for example 7d, "
                    "12h or 30m, 500MB, 50GB or 1TB, or 10%free or 20GBfree"
                )
        return cls(
            min(ages, default=None),
            min(sizes, default=None),
            max(free, default=None),
            max(shares, default=None),
        )

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return self != Keep()

    @property
    def watches_disk(self) -> bool:
        """Whether other files than the recordings matter."""
        return self.min_free_bytes is not None or self.min_free_share is not None

    def free_bytes(self, disk_bytes: int) -> int:
        """Space that stays free on a disk of this size."""
        share = round((self.min_free_share or 0.0) * disk_bytes)
        return max(self.min_free_bytes or 0, share)

    def excess(
        self,
        recordings: Sequence[Recording],
        *,
        present_bytes: int = 0,
        shortfall_bytes: int = 0,
        sudden: int = 0,
    ) -> Excess:
        """Find the recordings to delete.

        Args:
            recordings: Completed recordings, the oldest first.
            present_bytes: Size of recordings being written: they count, but are kept.
            shortfall_bytes: Space that the disk lacks.
            sudden: How many recordings may be deleted because of their `clock_age_s`.
        """
        if not self:
            return Excess()
        total = present_bytes + sum(each.size_bytes for each in recordings)
        names: list[str] = []
        deleted_suddenly = held_back = 0
        for each in recordings:
            is_old = self._is_older(each.age_s)
            is_over = self.max_bytes is not None and total > self.max_bytes
            if not (is_old or is_over or shortfall_bytes > 0):
                if not self._is_older(each.clock_age_s):
                    continue
                ahead_s = each.clock_age_s - each.age_s
                if ahead_s > _CLOCK_GAP_S or deleted_suddenly >= sudden:
                    held_back += 1
                    continue
                deleted_suddenly += 1
            names.append(each.name)
            total -= each.size_bytes
            shortfall_bytes -= each.size_bytes
        return Excess(names, deleted_suddenly, held_back, max(0, shortfall_bytes))

    def _is_older(self, age_s: float) -> bool:
        return self.max_age_s is not None and age_s > self.max_age_s


class SuddenAges:
    """Limits how fast recordings are deleted because of the wall clock alone.

    That clock may be wrong for a while. The allowance grows from nothing, so that a
    program which is restarted again and again does not delete everything.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds that are never set."""
        self._clock = clock
        self._at = clock()
        self._allowed = 0.0

    def allowed(self, count: int) -> int:
        """How many of `count` recordings may be deleted now."""
        now = self._clock()
        hours, self._at = (now - self._at) / 3600, now
        share = count * SHARE_PER_HOUR
        self._allowed = min(self._allowed + share * hours, max(1.0, share))
        return int(self._allowed)

    def spend(self, count: int) -> None:
        """Note that `count` recordings were deleted."""
        self._allowed -= count


def clock_ages(walls: Iterable[float], now_s: float) -> list[float]:
    """Ages in seconds by the wall clock, from times in the order of recording.

    None is older than the one before it: a lower time comes from a clock that was
    behind. Times in the future say nothing.
    """
    ages: list[float] = []
    latest: float | None = None
    for wall_s in walls:
        if wall_s <= now_s and (latest is None or wall_s > latest):
            latest = wall_s
        ages.append(0.0 if latest is None else now_s - latest)
    return ages
