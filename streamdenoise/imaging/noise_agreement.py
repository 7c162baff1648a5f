"""The level of noise on which the cells of a frame agree.

Texture and misalignment raise some cells and leave others. The quietest are a start,
but alone they say too little: half of them are quiet by chance, and which share of all
is free of texture is unknown. So the mean of the cells that are not much above the
level is taken as the new level, until it stays.

Where everything moves, texture may have raised all of them. Then the bounds from time
are spread wider than noise alone would be, and lie below those from space, which see
the texture itself. The wider and the lower, the further the noise is below the quietest
cells.

In a single image only the cells themselves can tell. Noise may depend on the brightness
(Foi and others, "Practical Poissonian-Gaussian noise modeling", TIP 2008), but where it
is all that there is, cells of one brightness agree. Cells of texture do not.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

_QUIET = 0.05
"""Share of the cells that is assumed to be free of texture."""
_NEAR = 1.45
"""Cells within this factor of the level's variance agree with it."""
_FEW_STEPS = 2
"""The typical level moves by these only: of levels of all sizes, any would stay."""
_FAR = 2.0
"""Bounds of noise alone differ by less than this factor."""
_TENTH, _MIDDLE = 0.1, 0.5
"""Ranks between which the spread of the cells is measured."""
_BELOW = 1.5
"""Power of the spread by which the noise is below the quietest cells if space sees far
more than time; as white noise on training clips chooses it."""
_SAME = 0.6
"""If time sees more than this share of what space sees, it is noise for both."""
_GROUPS, _FEWEST = 16, 12
"""Groups of like brightness at most, and cells in each at least."""
_CALMEST = 0.25
"""Noise needs to be seen in this share of the groups; the others may hold texture."""
_FEW = 8
"""The same number of cells where only the calm ones are asked for."""
_SURE = 4
"""With fewer groups than that, a part of what they differ may be chance."""
_LOW, _HIGH = 0.1, 0.7
"""Ranks between which the cells of a group are compared."""
_WHITE_SPREAD = 1.28
"""Bound from space at the rank of `_HIGH` over that at `_LOW`, in white noise."""
_MOST_STEPS = 40
_STAYS = 1e-3
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class WhiteNoise:
    """What the bounds of cells are in white noise of variance 1.

    Attributes:
        time: mean of the bound from time.
        lesser: mean of the lesser of both bounds; the one from space has the mean 1.
        quiet: lesser bound at the rank of `_QUIET`, over its mean.
        below: mean of the lesser bounds below `_NEAR` times their mean, over that mean.
        spread: lesser bound at the rank of `_MIDDLE` over that at `_TENTH`.
    """

    time: float
    lesser: float
    quiet: float
    below: float
    spread: float

    @classmethod
    def measure(cls, space: np.ndarray, time: np.ndarray) -> "WhiteNoise":
        """Measure both bounds ``(N,)`` of white noise of variance 1."""
        lesser = np.minimum(space, time)
        mean = float(lesser.mean())
        share = lesser / mean
        below = float(share[share <= _NEAR].mean())
        quiet, tenth, middle = np.quantile(share, (_QUIET, _TENTH, _MIDDLE)).tolist()
        return cls(float(time.mean()), mean, quiet, below, middle / tenth)

    def lesser_of(self, space: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The lesser of both bounds, without the bias of taking the lesser.

        Where one is far above the other, the other would be the lesser anyway.
        """
        mean = np.where(
            space > _FAR * time,
            self.time,
            np.where(time > _FAR * space, 1, self.lesser),
        )
        return np.minimum(space, time) / mean


def quiet_variance(cells: np.ndarray, white: WhiteNoise) -> float:
    """Variance of the noise where texture may be anywhere: of the quietest cells.

    Args:
        cells: ``(N,)`` upper bounds without bias, at least one.
        white: what the same bounds are in white noise.
    """
    ordered, sums = _sorted(cells)
    level = _at_rank(ordered, _QUIET) / white.quiet
    for _ in range(_MOST_STEPS):
        count = max(1, bisect_right(ordered, _NEAR * level))
        last, level = level, sums[count] / count / white.below
        if abs(level - last) <= _STAYS * last:
            break
    return level


def untextured_share(
    cells: np.ndarray, space: np.ndarray, time: np.ndarray, white: WhiteNoise
) -> float:
    """Share of `quiet_variance` that is noise if texture moves in all cells.

    Args:
        cells: ``(N,)`` lesser bounds without bias, at least one.
        space: ``(N,)`` bounds from space.
        time: ``(N,)`` bounds from time.
        white: what the same bounds are in white noise.
    """
    count = len(cells)
    order = np.argsort(cells)
    tenth, middle = (cells[order[int(rank * count)]] for rank in (_TENTH, _MIDDLE))
    spread = max(1.0, float(middle / max(tenth, _TINY)) / white.spread)
    quiet = order[: count // 2 + 1]
    seen = np.sort(time[quiet] / np.maximum(space[quiet], _TINY))[len(quiet) // 2]
    return spread ** (-_BELOW * max(0.0, 1 - float(seen) / _SAME))


def disagreement(cells: np.ndarray, brightness: np.ndarray) -> float:
    """How far cells of like brightness differ, beyond what noise alone does.

    Args:
        cells: ``(N,)`` bounds from space of 16x16 samples, at least one.
        brightness: ``(N,)`` of the cells.

    Returns:
        Logarithm of the ratio of variances: 0 in noise, 0.5 and more in texture.
    """
    count = min(_GROUPS, max(1, len(cells) // _FEWEST))
    groups = np.array_split(cells[np.argsort(brightness)], count)
    ends = np.array([np.quantile(group, (_LOW, _HIGH)) for group in groups])
    low, high = np.maximum(ends, _TINY).T
    spreads = np.sort(np.log(high / low))[: max(1, round(_CALMEST * count))]
    excess = max(0.0, float(spreads.mean()) - float(np.log(_WHITE_SPREAD)))
    return excess * min(1.0, count / _SURE)


def typical_variance(cells: np.ndarray) -> float:
    """Variance of the noise where most cells hold nothing else: of typical ones.

    Noise that depends on the brightness differs from cell to cell.

    Args:
        cells: ``(N,)`` upper bounds without bias, at least one.
    """
    ordered, sums = _sorted(cells)
    level = _at_rank(ordered, _MIDDLE)
    for _ in range(_FEW_STEPS):
        first = bisect_left(ordered, level / _NEAR)
        end = bisect_left(ordered, level * _NEAR)
        if first < end:
            level = (sums[end] - sums[first]) / (end - first)
    return level


def calm_variance(cells: np.ndarray, brightness: np.ndarray) -> float:
    """What the calm cells of most degrees of brightness have.

    Args:
        cells: ``(N,)`` upper bounds without bias, at least one.
        brightness: ``(N,)`` of the cells.
    """
    count = min(_GROUPS, max(1, len(cells) // _FEW))
    groups = np.array_split(cells[np.argsort(brightness)], count)
    return float(np.median([np.quantile(group, _CALMEST) for group in groups]))


def _sorted(cells: np.ndarray) -> tuple[list[float], list[float]]:
    """Cells in order, and the sums of the first of them; lists, as these are few."""
    ordered = np.sort(cells).tolist()
    return ordered, [0.0, *accumulate(ordered)]


def _at_rank(ordered: list[float], rank: float) -> float:
    """The value at a rank in [0, 1], between two if need be."""
    place = rank * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
