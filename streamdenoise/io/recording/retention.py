"""How long recordings stay: the limits, and which files are over them."""

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


# No camera is away for so long: the clock was wrong, before the gap or after it. One
# without a battery begins in 1970, and some come up decades ahead.
_CLOCK_GAP_S = 366 * 86400


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished recording on the disk."""

    path: Path
    size_bytes: int
    modified_s: float
    """When it was last written, in seconds of `time.time`."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits on recordings; without any, all of them stay."""

    max_age_s: float | None = None
    max_bytes: int | None = None

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Keep":
        """Read ages such as ``7d``, ``12h``, ``30m`` and sizes such as ``50GB``.

        Of several ages or sizes the smallest holds.

        Raises:
            ConfigError: One is neither an age nor a size.
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
                    f"--keep {text} is neither an age nor a size; write for instance "
                    "7d, 12h or 30m, or 500MB, 50GB or 1TB"
                )
        return cls(min(ages, default=None), min(sizes, default=None))

    def __bool__(self) -> bool:
        """Whether any recording may ever go."""
        return self.max_age_s is not None or self.max_bytes is not None

    def excess(
        self,
        recordings: Iterable[Recording],
        *,
        now_s: float,
        present_bytes: int = 0,
        shortfall_bytes: int = 0,
    ) -> list[Path]:
        """The files that must go, oldest first.

        Age counts from the last write, so that all that was seen in the last week is
        still there with ``7d``. It also orders files whose names a change of the clock
        made equal or swapped. Where times are more than a year apart the clock was
        wrong: age then counts from the newest recording before the gap, so that no
        wrong clock makes everything old at once.

        Args:
            recordings: Finished ones, in any order.
            now_s: The present time, in seconds of `time.time`.
            present_bytes: Size of what is being written: it counts, but stays.
            shortfall_bytes: What the disk lacks for the next recording.
        """
        if not self:
            return []
        spells = _spells(recordings, now_s)
        total = present_bytes + sum(each.size_bytes for s in spells for each in s)
        gone: list[Path] = []
        for spell in spells:
            newest_s = spell[-1].modified_s
            end_s = now_s if abs(now_s - newest_s) <= _CLOCK_GAP_S else newest_s
            for each in spell:
                age_s = end_s - each.modified_s
                is_old = self.max_age_s is not None and age_s > self.max_age_s
                is_over = self.max_bytes is not None and total > self.max_bytes
                if is_old or is_over or shortfall_bytes > 0:
                    gone.append(each.path)
                    total -= each.size_bytes
                    shortfall_bytes -= each.size_bytes
        return gone


def oldest_first(recordings: Iterable[Recording], now_s: float) -> list[Recording]:
    """By the time of the last write, and by name where that is equal.

    What was written by a clock near the present one, `now_s`, is the newest.
    """
    return [each for spell in _spells(recordings, now_s) for each in spell]


def _spells(recordings: Iterable[Recording], now_s: float) -> list[list[Recording]]:
    """Recordings of one and the same clock together, the present one's last."""
    spells: list[list[Recording]] = []
    for each in sorted(recordings, key=lambda each: (each.modified_s, each.path)):
        if spells and each.modified_s - spells[-1][-1].modified_s <= _CLOCK_GAP_S:
            spells[-1].append(each)
        else:
            spells.append([each])
    return sorted(spells, key=lambda s: abs(now_s - s[-1].modified_s) <= _CLOCK_GAP_S)
