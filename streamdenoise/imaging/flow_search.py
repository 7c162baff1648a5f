"""Two ways to search the motion between two reduced frames.

`CompiledSearch` is the faster and the more exact one, from a noisy frame to a denoised
one. `OpenCvSearch` needs no compiled code: it stands in where there is none, and is the
reference for the other one. As its flow is smoother, it follows noise less, which
counts where both frames are noisy.
"""

from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np

from streamdenoise.kernels import matching, search
from streamdenoise.kernels.compiled import why_not

DEAD_ZONE = 0.1
"""Shorter vectors, in pixels, are not worth an interpolation."""
WORTH = 0.8
"""A vector must reduce the squared difference to this share of what the zero vector
leaves. A flow that was fitted to noise leaves 0.85 and more."""
CLEAR = 0.6
"""The share that shows motion even if the cells around do not move."""
SLIGHT = 0.05
"""Squared difference, in 8-bit levels, that rounding explains."""

MIN_SIDE = 32
"""Smaller frames are not searched at all."""
_FEWEST = 24
"""Pixels of the shorter side of a level that is halved once more."""
_FINEST_SCALE = 2
"""OpenCV's search ends at 1/2**2 of the size and interpolates from there."""
_REFINEMENTS = 2
"""The preset's five take a sixth of the time and gain nothing that can be measured;
none loses 0.04 dB in the mean and 0.2 dB where much moves on its own."""


def why_not_compiled() -> str:
    """Load the compiled code, at the first call; why it cannot be used, or nothing."""
    return why_not((*search.ALL, *matching.ALL))


class FlowSearch(Protocol):
    """Searches motion; keeps buffers, not the frames."""

    def flow(
        self, now: np.ndarray, then: np.ndarray, step: int, cells: tuple[int, int]
    ) -> np.ndarray | None:
        """Compute where each part of a frame was in another one.

        Args:
            now: ``(H, W)`` uint8, contiguous and blurred; its sides are `MIN_SIDE` or
                more.
            then: the same.
            step: factor by which both were reduced.
            cells: rows and columns of the result.

        Returns:
            See `FlowEstimator.flow`.
        """
        ...


class CompiledSearch:
    """A `FlowSearch` that follows gradients, patch by patch; costs what moves."""

    def __init__(self) -> None:
        self._scratch = np.empty(search.SCRATCH, np.float32)
        self._kept = np.zeros(1, np.int64)
        self._nothing = np.empty((0, 0, 2), np.float32)
        self._sizes_of: tuple[tuple[int, ...], tuple[int, int]] | None = None

    def flow(
        self, now: np.ndarray, then: np.ndarray, step: int, cells: tuple[int, int]
    ) -> np.ndarray | None:
        """See `FlowSearch.flow`."""
        if (now.shape, cells) != self._sizes_of:
            self._allocate(now.shape, cells)
        search.first_level(now, then, self._levels[0])
        for i, (level, smaller) in enumerate(
            zip(self._levels, self._levels[1:], strict=False)
        ):
            search.next_level(level, *self._sizes[i], smaller)
        coarse = self._nothing
        for level, found in zip(self._levels[::-1], self._found[::-1], strict=True):
            search.search(level, coarse, self._scratch, found)
            coarse = found
        search.blend(self._levels[0], coarse, self._vectors)
        flow = np.empty((*cells, 2), np.float32)
        left, still, some_left, some_still = self._judged
        # A block has 8 pixels a side, and a cell 8 / step.
        matching.flow_of_blocks(self._vectors, step, 2.0, DEAD_ZONE / step, flow)
        matching.differences(now, then, flow, step, left, still)
        matching.sum_of_nine(left, SLIGHT, some_left)
        matching.sum_of_nine(still, 0.0, some_still)
        matching.keep_what_is_worth_it(
            some_left, some_still, WORTH, CLEAR, flow, self._kept
        )
        if not self._kept[0]:
            return None
        flow *= np.float32(step)
        return flow

    def _allocate(self, shape: tuple[int, ...], cells: tuple[int, int]) -> None:
        self._sizes_of = (shape, cells)
        self._judged = np.empty((4, *cells), np.float32)
        self._sizes = list(level_sizes(*shape))
        blocks = [tuple(-(-n // search.BLOCK) for n in size) for size in self._sizes]
        sides = [[search.BLOCK * n + 2 * search.MARGIN for n in b] for b in blocks]
        self._levels = [np.empty((2, *s), np.float32) for s in sides]
        self._found = [np.empty((h - 1, w - 1, 2), np.float32) for h, w in blocks]
        self._vectors = np.empty((*blocks[0], 2), np.float32)


def level_sizes(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Sizes of the levels, from half of a frame's on."""
    while True:
        height, width = height // 2, width // 2
        yield height, width
        if min(height, width) < _FEWEST:
            return


class OpenCvSearch:
    """A `FlowSearch` by OpenCV.

    Dense inverse search (Kroeger and others, "Fast optical flow using dense inverse
    search", 2016).
    """

    def __init__(self, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST) -> None:
        """Allocate nothing yet.

        Args:
            preset: OpenCV's, of speed and exactness.
        """
        self._search = cv2.DISOpticalFlow.create(preset)
        refinements = self._search.getVariationalRefinementIterations()
        self._search.setVariationalRefinementIterations(min(refinements, _REFINEMENTS))

    def flow(
        self, now: np.ndarray, then: np.ndarray, step: int, cells: tuple[int, int]
    ) -> np.ndarray | None:
        """See `FlowSearch.flow`."""
        found = self._dense(now, then)
        small = cv2.resize(found, cells[::-1], interpolation=cv2.INTER_AREA)
        # Over 3x3 cells, as one alone has too few pixels to tell motion from noise.
        left, left_by_zero = (
            cv2.blur(each, (3, 3), borderType=cv2.BORDER_REPLICATE)
            for each in compared(now, then, small)
        )
        flow = small * np.float32(step)
        worth = left + SLIGHT < WORTH * left_by_zero
        worth &= np.abs(flow).sum(-1) > DEAD_ZONE
        if not worth.any():
            return None
        return np.where(worth[..., None], flow, np.float32(0))

    def _dense(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        """The flow between two frames, ``(h, w, 2)``, at half their size."""
        finest = _FINEST_SCALE
        if min(now.shape) >= 2 * MIN_SIDE:
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


def compared(
    now: np.ndarray, then: np.ndarray, flow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared difference of each cell along its vector, and without motion.

    Args:
        now: ``(H, W)`` uint8.
        then: the same.
        flow: ``(h, w, 2)`` vectors of the cells, in pixels of `now`.
    """
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
