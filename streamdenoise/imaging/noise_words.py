"""A noise profile as a user reads it."""

from collections.abc import Sequence

from streamdenoise.imaging.noise_profile import LEVELS

_ALIKE = 0.2
"""Levels that differ by less than this share of the fine one are not told apart."""


def noise_words(levels: Sequence[float]) -> str:
    """The noise in words, such as ``noise: fine 3, coarse 7, color 9``.

    Args:
        levels: ``(7,)``, see `LEVELS`, in units in which white noise in R, G and B has
            one level.
    """
    fine = levels[0]
    by_plane = [
        [level for (of, _), level in zip(LEVELS, levels, strict=True) if of == plane]
        for plane in range(3)
    ]
    others = {
        "coarse": max(by_plane[0][1:]),
        # Gray has none.
        "color": max(*by_plane[1], *by_plane[2]) or fine,
    }
    parts = [
        f"{name} {_number(level)}"
        for name, level in others.items()
        if abs(level - fine) > _ALIKE * fine and _number(level) != _number(fine)
    ]
    if not parts:
        return f"noise {_number(fine)}"
    return ", ".join([f"noise: fine {_number(fine)}", *parts])


def _number(level: float) -> str:
    return f"{level:.0f}" if level >= 1 else f"{round(level, 1):g}"
