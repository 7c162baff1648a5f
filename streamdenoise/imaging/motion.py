"""Motion: where each part of a frame was in the last frame.

The network can use the past of a moving object only if that past moves along. So a
dense optical flow is computed from the new frame back to the last denoised one, and
the state is warped along it before the step. Where the flow explains nothing (noise,
objects that appear) it is zero, and the network's gate decides alone.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from streamdenoise.kernels.matching import differences

CELL = 8
"""Side in luma pixels of the square that shares one vector of a flow."""

_SHORT_SIDE = 288
"""Frames are reduced by a whole factor for the search, but never below this."""
_MIN_SIDE = 32
"""Smaller frames are not searched at all."""
_FINEST_SCALE = 2
"""The search ends at 1/2**2 of the size and interpolates from there."""
_REFINEMENTS = 2
"""The preset's five take a sixth of the time and gain nothing that can be measured;
none loses 0.04 dB in the mean and 0.2 dB where much moves on its own."""
_DEAD_ZONE = 0.1
"""Shorter vectors, in pixels, are not worth an interpolation."""
_WORTH = 0.8
"""A vector must reduce the squared difference to this share of what the zero vector
leaves. A flow that was fitted to noise leaves 0.85 and more."""
_SLIGHT = 0.05
"""Squared difference, in 8-bit levels, that rounding explains."""


def search_step(height: int, width: int) -> int:
    """Factor by which a frame is reduced for the search."""
    return max(1, min(height, width) // _SHORT_SIDE)


class FlowEstimator:
    """Computes the flow between two frames; keeps buffers, not the frames.

    Dense inverse search (Kroeger and others, "Fast optical flow using dense inverse
    search", 2016), which takes some milliseconds where learned flows take seconds.
    """

    def __init__(self, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST) -> None:
        """Start without a frame.

        Args:
            preset: OpenCV's, of speed and exactness.
        """
        differences.why_not()  # no frame should wait for the compiler
        self._search = cv2.DISOpticalFlow.create(preset)
        refinements = self._search.getVariationalRefinementIterations()
        self._search.setVariationalRefinementIterations(min(refinements, _REFINEMENTS))

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
        size = (luma.shape[1] // step, luma.shape[0] // step)
        if min(size) < _MIN_SIDE:
            return None
        whole = np.s_[: size[1] * step, : size[0] * step]
        now, then = (_reduce(frame[whole], size, peak) for frame in (luma, last))
        cells = (luma.shape[1] // CELL, luma.shape[0] // CELL)
        small = cv2.resize(self._found(now, then), cells, interpolation=cv2.INTER_AREA)
        # Over 3x3 cells, as one alone has too few pixels to tell motion from noise.
        left, left_by_zero = (
            cv2.blur(each, (3, 3)) for each in compared(now, then, small, step)
        )
        flow = small * np.float32(step)
        worth = left + _SLIGHT < _WORTH * left_by_zero
        worth &= np.abs(flow).sum(-1) > _DEAD_ZONE
        if not worth.any():
            return None
        return np.where(worth[..., None], flow, np.float32(0))

    def _found(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        """The flow between two reduced frames, ``(h, w, 2)``, at half their size."""
        finest = _FINEST_SCALE
        if min(now.shape) >= 2 * _MIN_SIDE:
            # The search begins there anyway, and ends with frames of less pixels.
            size = (now.shape[1] // 2, now.shape[0] // 2)
            now, then = (
                cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
                for frame in (now, then)
            )
            finest -= 1
        # Set again, because the search of a small frame changes it permanently.
        self._search.setFinestScale(finest)
        # OpenCV's type stubs demand a flow to start from.
        found = self._search.calc(now, then, None)  # pyright: ignore
        return np.asarray(found, np.float32) * np.float32(1 + _FINEST_SCALE - finest)


def _reduce(luma: np.ndarray, size: tuple[int, int], peak: int) -> np.ndarray:
    """Reduce to `size` and 8 bits, and blur, because noise misleads the search."""
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    if peak != 255:
        small = cv2.convertScaleAbs(small, alpha=255 / peak)
    return cv2.GaussianBlur(small, (0, 0), 1.0)


def compared(
    now: np.ndarray, then: np.ndarray, flow: np.ndarray, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared difference of each cell along its vector, and without motion.

    Args:
        now: ``(H, W)`` uint8.
        then: the same.
        flow: ``(h, w, 2)`` vectors of the cells, in pixels of `now`.
        step: see `search_step`.
    """
    if CELL % step or differences.why_not():
        return compared_by_opencv(now, then, flow)
    left = np.empty(flow.shape[:2], np.float32)
    left_by_zero = np.empty_like(left)
    now, then, flow = map(np.ascontiguousarray, (now, then, flow))
    differences(now, then, flow, step, left, left_by_zero)
    return left, left_by_zero


def compared_by_opencv(
    now: np.ndarray, then: np.ndarray, flow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same without compiled code, for any size of the cells."""
    size, cells = now.shape[::-1], flow.shape[1::-1]
    dense = cv2.resize(flow, size, interpolation=cv2.INTER_NEAREST)
    left, left_by_zero = (
        cv2.resize(
            np.square(cv2.subtract(now, other, dtype=cv2.CV_32F)),
            cells,
            interpolation=cv2.INTER_AREA,
        )
        for other in (remapped(then, dense, cv2.INTER_LINEAR), then)
    )
    return left, left_by_zero


def remapped(
    plane: np.ndarray,
    flow: np.ndarray,
    interpolation: int,
    border: int = cv2.BORDER_REPLICATE,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Take the value of each pixel at its place plus its ``(H, W, 2)`` vector."""
    mode = interpolation | cv2.WARP_RELATIVE_MAP
    # OpenCV's type stubs do not know that both coordinates can be in one map.
    return cv2.remap(plane, flow, None, mode, out, border)  # pyright: ignore


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

    def __init__(self) -> None:
        self._estimator = FlowEstimator()
        self.reset()

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
        self._last = luma_of(denoised).copy()
