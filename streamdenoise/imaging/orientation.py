"""Turning frames upright, as cameras and phones tag them."""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to turn a frame: transposed first, then mirrored."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of_matrix(cls, matrix: tuple[int, ...] | None) -> Self | None:
        """The orientation that FFmpeg's display matrix stands for.

        Args:
            matrix: Nine numbers of 16.16 bits, by row; `x' = a x + c y` and
                `y' = b x + d y` with a, b, c and d at 0, 1, 3 and 4. None is upright.

        Returns:
            None if it turns by an angle that is no multiple of 90 degrees.
        """
        if matrix is None:
            return cls()
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if a and d and not b and not c:
            return cls(False, a < 0, d < 0)
        if b and c and not a and not d:
            return cls(True, c < 0, b < 0)
        return None


def upright(
    planes: tuple[np.ndarray, ...], orientation: Orientation
) -> tuple[np.ndarray, ...]:
    """Planes, ``(H, W)`` or ``(H, W, C)``, as they are to be seen; C-contiguous."""
    if orientation == Orientation():
        return planes
    x, y = (
        slice(None, None, -1 if flip else 1)
        for flip in (orientation.flip_x, orientation.flip_y)
    )
    turned = (
        np.swapaxes(plane, 0, 1) if orientation.transposed else plane
        for plane in planes
    )
    return tuple(np.ascontiguousarray(plane[y, x]) for plane in turned)
