"""Motion: where each part of a frame was in the last frame.

The network can use the past of a moving object only if that past moves along. So a
dense optical flow is computed from the new frame back to the last denoised one, and
the state is warped along it before the step. Where the flow explains nothing (noise,
objects that appear) it is zero, and the network's gate decides alone.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from streamdenoise.imaging.flow_search import (
    MIN_SIDE,
    CompiledSearch,
    FlowSearch,
    OpenCvSearch,
    why_not_compiled,
)
from streamdenoise.kernels.search import reduce

CELL = 8
"""Side in luma pixels of the square that shares one vector of a flow."""

_SHORT_SIDE = 288
"""Frames are reduced by a whole factor for the search, but never below this."""


def search_step(height: int, width: int) -> int:
    """Factor by which a frame is reduced for the search."""
    return max(1, min(height, width) // _SHORT_SIDE)


class FlowEstimator:
    """Computes the flow between two frames; keeps buffers, not the frames."""

    def __init__(self, search: FlowSearch | None = None) -> None:
        """Start without a frame.

        Args:
            search: how to search; None takes the compiled way if it works here. That
                may take seconds for the first time on a machine.
        """
        if search is None:
            search = OpenCvSearch() if why_not_compiled() else CompiledSearch()
        self._search = search

    def flow(
        self, luma: np.ndarray, last: np.ndarray, peak: int, step: int | None = None
    ) -> np.ndarray | None:
        """Compute where each part of a frame was in the last one.

        Args:
            luma: ``(H, W)`` the new, noisy frame, ``uint8`` or ``uint16``; H and W are
                multiples of `CELL`.
            last: the last frame, denoised, of the same shape and type.
            peak: full scale, 255 or 1023.
            step: factor by which both are reduced for the search; `search_step` if
                None.

        Returns:
            ``(H / CELL, W / CELL, 2)`` float32, (right, down) in pixels of luma, such
            that ``luma(x, y)`` is about ``last(x + right, y + down)``; None if nothing
            moved or the frame is too small to be searched.
        """
        step = step or search_step(*luma.shape)
        if min(luma.shape) // step < MIN_SIDE:
            return None
        now, then = (_reduce(frame, step, peak) for frame in (luma, last))
        cells = (luma.shape[0] // CELL, luma.shape[1] // CELL)
        return self._search.flow(now, then, step, cells)


def _reduce(luma: np.ndarray, step: int, peak: int) -> np.ndarray:
    """Reduce by `step` and to 8 bits, and blur, because noise misleads the search."""
    height, width = (side // step for side in luma.shape)
    if peak == 255 and step > 2 and not reduce.why_not():  # OpenCV is fast at 2 only
        small = np.empty((height, width), np.uint8)
        sums = np.empty(luma.shape[1], np.int32)
        reduce(np.ascontiguousarray(luma), step, sums, small)
    else:
        whole = luma[: height * step, : width * step]
        small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    if peak != 255:
        small = cv2.convertScaleAbs(small, alpha=255 / peak)
    return cv2.GaussianBlur(small, (0, 0), 1.0)


def luma_of(planes: Sequence[np.ndarray]) -> np.ndarray:
    """The plane in which motion is searched: the first one, or the mean of R, G and B.

    Args:
        planes: those of yuv420, one of gray, or R, G and B.

    Returns:
        ``(H, W)`` of the planes' type.
    """
    if len({plane.shape for plane in planes}) > 1 or len(planes) == 1:
        return planes[0]
    return cv2.transform(cv2.merge(planes), np.full((1, 3), 1 / 3, np.float32))


class MotionFollower:
    """Finds the motion in one stream, from each frame back to the last denoised one."""

    def __init__(self, search: FlowSearch | None = None) -> None:
        """Start a stream.

        Args:
            search: see `FlowEstimator`.
        """
        self.search_with(search)
        self.reset()

    def search_with(self, search: FlowSearch | None) -> None:
        """Search in another way from now on; the last frame stays."""
        self._estimator = FlowEstimator(search)

    def reset(self) -> None:
        """Forget the last frame: the next one starts a stream."""
        self._last: np.ndarray | None = None

    def flow(self, planes: Sequence[np.ndarray], peak: int) -> np.ndarray | None:
        """Compute where each part of the new frame was in the last one.

        Args:
            planes: ``uint8`` or ``uint16``, see `luma_of`.
            peak: full scale, 255 or 1023.

        Returns:
            See `FlowEstimator.flow`; None also for a first frame.
        """
        if self._last is None:
            return None
        return self._estimator.flow(luma_of(planes), self._last, peak)

    def remember(self, denoised: Sequence[np.ndarray]) -> None:
        """Keep a copy of the luma of the frame that the state now belongs to."""
        luma = luma_of(denoised)
        last = self._last
        if last is None or (last.shape, last.dtype) != (luma.shape, luma.dtype):
            last = np.empty_like(luma)
        # Into the same array: a new one of that size takes longer than the copy.
        np.copyto(last, luma)
        self._last = last
