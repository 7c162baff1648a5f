"""Motion: where each part of a frame was in the last frame.

The network can use the past of a moving object only if that past moves along. So a
dense optical flow is computed from the new frame back to the last denoised one, and
the state is warped along it before the step. Where the flow explains nothing (noise,
objects that appear) it is zero, and the network's gate decides alone.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from streamdenoise.imaging.blocks import gather_blocks, plane_shapes_of, scatter_blocks

CELL = 8
"""Side in luma pixels of the square that shares one vector of a flow."""

_SHORT_SIDE = 288
"""Frames are reduced by a whole factor for the search, but never below this."""
_MIN_SIDE = 32
"""Smaller frames are not searched at all."""
_FINEST_SCALE = 2
"""The search ends at 1/2**2 of the size and interpolates from there."""
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
        self._search = cv2.DISOpticalFlow.create(preset)

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
        # Set again, because the search of a small frame changes it permanently.
        self._search.setFinestScale(_FINEST_SCALE)
        # OpenCV's type stubs demand a flow to start from.
        found = self._search.calc(now, then, None)  # pyright: ignore
        fine = np.asarray(found, np.float32)
        followed = _warp(then, fine, cv2.INTER_LINEAR)
        cells = (luma.shape[1] // CELL, luma.shape[0] // CELL)
        left, left_by_zero = (_energy(now, x, cells) for x in (followed, then))
        flow = cv2.resize(fine, cells, interpolation=cv2.INTER_AREA) * np.float32(step)
        worth = left + _SLIGHT < _WORTH * left_by_zero
        worth &= np.abs(flow).sum(-1) > _DEAD_ZONE
        if not worth.any():
            return None
        return np.where(worth[..., None], flow, np.float32(0))


def _reduce(luma: np.ndarray, size: tuple[int, int], peak: int) -> np.ndarray:
    """Reduce to `size` and 8 bits, and blur, because noise misleads the search."""
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    if peak != 255:
        small = cv2.convertScaleAbs(small, alpha=255 / peak)
    return cv2.GaussianBlur(small, (0, 0), 1.0)


def _energy(a: np.ndarray, b: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """Mean squared difference around each cell."""
    square = np.square(cv2.subtract(a, b, dtype=cv2.CV_32F))
    return cv2.blur(cv2.resize(square, cells, interpolation=cv2.INTER_AREA), (3, 3))


def _warp(
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


class StateWarper:
    """Warps the state of one stream at one size.

    Allocating large arrays takes longer than filling them, so every call fills the same
    ones.
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        """Allocate the arrays.

        Args:
            state: a backend's: name -> ``(1, h, w, channels)`` float32; ``fused``
                holds pixels in blocks (`streamdenoise.imaging.blocks`).
        """
        planes = plane_shapes_of(state["fused"][0])
        self._height = planes[0][0]
        shapes = {*planes, *(array.shape[1:3] for array in state.values())}
        self._flows = {shape: np.empty((*shape, 2), np.float32) for shape in shapes}
        self._planes = [np.empty(shape, np.float32) for shape in planes]
        self._moved = [np.empty(shape, np.float32) for shape in planes]
        self._warped = {
            name: np.empty(array.shape, np.float32) for name, array in state.items()
        }

    def warp(
        self, state: Mapping[str, np.ndarray], flow: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Move the state along a flow.

        Args:
            state: arrays of the same shapes as the constructor got, and none of those
                that an earlier call returned.
            flow: see `FlowEstimator.flow`.

        Returns:
            The warped state, valid until the next call.
        """
        for shape, dense in self._flows.items():
            scaled = flow * np.float32(shape[0] / self._height)
            cv2.resize(scaled, (shape[1], shape[0]), dst=dense)
        scatter_blocks(state["fused"][0], self._planes)
        for plane, moved in zip(self._planes, self._moved, strict=True):
            # A cheaper interpolation would blur the frame a little every time.
            flow = self._flows[plane.shape]
            _warp(plane, flow, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE, moved)
        gather_blocks(self._moved, self._warped["fused"][0])
        for name in state.keys() - {"fused"}:
            array, warped = state[name][0], self._warped[name][0]
            flow = self._flows[array.shape[:2]]
            # Pixels that enter at the edges count as never seen.
            border = cv2.BORDER_CONSTANT if name == "frames" else cv2.BORDER_REPLICATE
            _warp(array, flow, cv2.INTER_LINEAR, border, warped)
        return self._warped


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
