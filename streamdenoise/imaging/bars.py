"""Letterbox bars: lines of one value at the edges of a plane, which hold no noise."""

from collections.abc import Sequence

import numpy as np


def keep_bars(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> None:
    """Copy the bars of planes to what a filter made of them, in place.

    Args:
        before: ``(H, W)`` each.
        after: of the same shapes.
    """
    for source, target in zip(before, after, strict=True):
        corner = source[0, 0]
        for lines, kept in (
            (source, target),
            (source[::-1], target[::-1]),
            (source.T, target.T),
            (source.T[::-1], target.T[::-1]),
        ):
            if (lines[0] != corner).any():
                continue
            half = len(lines) // 2
            is_bar = (lines[:half] == corner).all(1)
            count = half if is_bar.all() else int(is_bar.argmin())
            kept[:count] = lines[:count]
