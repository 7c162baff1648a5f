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
            count = 0
            while count < len(lines) // 2 and (lines[count] == corner).all():
                count += 1
            kept[:count] = lines[:count]
