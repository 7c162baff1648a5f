"""A better step for single images: the mean over several places of the block grid.

The network works on blocks of 4x4 pixels. What it makes of an image depends a little on
where the blocks begin, most of all at their borders. The mean over several places has
less of both noise and borders (Coifman and Donoho, "Translation-invariant de-noising",
1995: cycle spinning).
"""

from collections.abc import Sequence

import numpy as np

from streamdenoise.denoisers.step_runner import Step, StepAround

# Even, so that chroma at half size moves by whole pixels.
_SHIFTS = ((0, 0), (2, 2), (0, 2), (2, 0))
MOST_SHIFT = 2
"""Rows and columns that are added to planes."""


class SpinningStep(StepAround):
    """A `Step` for images that have no past; it takes four times as long."""

    def __init__(self, step: Step, layout: str) -> None:
        """Wrap a step.

        Args:
            step: runs on the shifted planes; its state is not used.
            layout: layout of the planes, ``yuv420`` or ``rgb``.
        """
        super().__init__(step)
        self._scales = scales_of(layout)
        self.loss_db = step.loss_db

    def run(
        self, planes: Sequence[np.ndarray], profile: np.ndarray, depth: int
    ) -> tuple[np.ndarray, ...]:
        sums: list[np.ndarray] = [np.zeros(p.shape, np.uint32) for p in planes]
        for down, right in _SHIFTS:
            shifted = [
                _pad(plane, down // scale, right // scale, MOST_SHIFT // scale)
                for plane, scale in zip(planes, self._scales, strict=True)
            ]
            self._step.reset()
            cleaned = self._step.run(shifted, profile, depth)
            for total, plane, scale in zip(sums, cleaned, self._scales, strict=True):
                top, left = down // scale, right // scale
                bottom, end = top + total.shape[0], left + total.shape[1]
                total += plane[top:bottom, left:end]
        count = len(_SHIFTS)
        return tuple(
            ((total + count // 2) // count).astype(plane.dtype)
            for total, plane in zip(sums, planes, strict=True)
        )


def scales_of(layout: str) -> tuple[int, int, int]:
    """By how much each plane of a layout is smaller than the first one."""
    return (1, 2, 2) if layout == "yuv420" else (1, 1, 1)


def _pad(plane: np.ndarray, top: int, left: int, most: int) -> np.ndarray:
    """`plane` with `most` more rows and columns, `top` and `left` of them before it."""
    return np.pad(plane, ((top, most - top), (left, most - left)), mode="edge")
