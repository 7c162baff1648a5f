"""Retention of recordings: limits on age and size, and the files beyond them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.units import TIME_UNITS

SIZE_UNITS = {
    f"{prefix}{kind}b": base**power
    for kind, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kmgt", start=1)
}
"""Bytes of kB, MB, GB, TB and of KiB, MiB, GiB, TiB, in lower case."""

_LIMIT = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([a-zA-Z]{1,3})", re.ASCII)


# A longer gap means that the clock was wrong before or after it: without a battery,
# clocks start in 1970 or decades ahead.
_CLOCK_GAP_S = 366 * 86400


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished recording on the disk."""

    path: Path
    size_bytes: int
    modified_s: float
    """Time of the last write, in seconds of `time.time`."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits on recordings; without limits, all are kept."""

    max_age_s: float | None = None
    max_bytes: int | None = None

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Keep":
        """Parse ages such as ``7d``, ``12h``, ``30m`` and sizes such as ``50GB``.

        The smallest of several ages or sizes applies.

        Raises:
            ConfigError: One of `texts` is neither an age nor a size.
        """
        ages: list[float] = []
        sizes: list[int] = []
        for text in texts:
            match = _LIMIT.fullmatch(text.strip())
            value = float(match[1]) if match else 0.0
            unit = match[2] if match else ""
            if value > 0 and unit in TIME_UNITS:
                ages.append(value * TIME_UNITS[unit])
            elif value > 0 and unit.lower() in SIZE_UNITS:
                sizes.append(round(value * SIZE_UNITS[unit.lower()]))
            else:
                raise ConfigError(
                    f"--keep {text} is neither an age nor a size; use for example 7d, "
                    "12h or 30m, or 500MB, 50GB or 1TB"
                )
        return cls(min(ages, default=None), min(sizes, default=None))

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return self.max_age_s is not None or self.max_bytes is not None

    def excess(
        self,
        recordings: Iterable[Recording],
        *,
        now_s: float,
        present_bytes: int = 0,
        shortfall_bytes: int = 0,
    ) -> list[Path]:
        """The files to delete, oldest first.

        Age counts from the last write, so that ``7d`` keeps everything recorded in the
        last week. That time also determines the order, because a clock change may swap
        names. If times are more than a year apart, the clock was wrong: ages then count
        from the newest recording before the gap, so that a wrong clock does not make
        all recordings old at once.

        Args:
            recordings: Completed recordings, in any order.
            now_s: The current time, in seconds of `time.time`.
            present_bytes: Size of recordings being written: they count, but are kept.
            shortfall_bytes: Space that the disk lacks for the next recording.
        """
        if not self:
            return []
        spells = _spells(recordings, now_s)
        total = present_bytes + sum(each.size_bytes for s in spells for each in s)
        excess: list[Path] = []
        for spell in spells:
            newest_s = spell[-1].modified_s
            end_s = now_s if abs(now_s - newest_s) <= _CLOCK_GAP_S else newest_s
            for each in spell:
                age_s = end_s - each.modified_s
                is_old = self.max_age_s is not None and age_s > self.max_age_s
                is_over = self.max_bytes is not None and total > self.max_bytes
                if is_old or is_over or shortfall_bytes > 0:
                    excess.append(each.path)
                    total -= each.size_bytes
                    shortfall_bytes -= each.size_bytes
        return excess


def oldest_first(recordings: Iterable[Recording], now_s: float) -> list[Recording]:
    """Sort by the time of the last write, then by name.

    Recordings with a time near `now_s` are the newest: other times come from a wrong
    clock.
    """
    return [each for spell in _spells(recordings, now_s) for each in spell]


def _spells(recordings: Iterable[Recording], now_s: float) -> list[list[Recording]]:
    """Group recordings by the clock that dated them, the current clock last."""
    spells: list[list[Recording]] = []
    for each in sorted(recordings, key=lambda each: (each.modified_s, each.path)):
        if spells and each.modified_s - spells[-1][-1].modified_s <= _CLOCK_GAP_S:
            spells[-1].append(each)
        else:
            spells.append([each])
    return sorted(spells, key=lambda s: abs(now_s - s[-1].modified_s) <= _CLOCK_GAP_S)
