"""Warps the state of a stream along its motion, to align it with the next frame."""

from collections.abc import Mapping

import cv2
import numpy as np

from streamdenoise.imaging.blocks import (
    LAYOUT_CHANNELS,
    gather_blocks,
    plane_shapes_of,
    scatter_blocks,
)
from streamdenoise.imaging.flow_search import remapped
from streamdenoise.imaging.motion import CELL
from streamdenoise.kernels import warp as kernels
from streamdenoise.kernels.compiled import why_not

_FUSED, _FRAMES = "fused", "frames"


def why_not_compiled() -> str:
    """Load the compiled code, at the first call; why it cannot be used, or nothing.

    The first time on a machine takes seconds, so this belongs before the first frame.
    """
    return why_not(kernels.ALL)


class StateWarper:
    """Warps the state of one stream at one size.

    Allocating large arrays takes longer than filling them, so every call uses the same
    ones.
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        """Allocate the arrays.

        Args:
            state: a backend's: name -> ``(1, h, w, channels)`` float32; ``fused``
                holds pixels in blocks (`streamdenoise.imaging.blocks`).
        """
        kind = OpenCvWarper if why_not_compiled() else CompiledWarper
        self._warper = kind(state)

    def warp(
        self, state: Mapping[str, np.ndarray], flow: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Move the state along a flow.

        Args:
            state: arrays of the same shapes as the constructor got, and none of those
                that an earlier call returned. They may be changed.
            flow: see `FlowEstimator.flow`.

        Returns:
            The warped state, valid until the next call: the same arrays, or others.
        """
        return self._warper.warp(state, flow)


class CompiledWarper:
    """A `StateWarper` in which all pixels of a block share one vector.

    It works in place, where the arrays can be written, and touches only what moves.
    """

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        height, width, channels = state[_FUSED].shape[1:]
        self._vectors = np.empty((height, width, 2), np.float32)
        self._needed = np.empty((height // 2, width // 2), np.uint8)
        self._moved = np.zeros(1, np.int64)
        self._scratch = np.empty(kernels.SCRATCH, np.float32)
        margins = 2 * kernels.MARGIN
        self._plane = np.zeros((4 * height + margins, 4 * width + margins), np.float32)
        self._is_yuv = channels == LAYOUT_CHANNELS["yuv420"]
        shape = (2 * height + margins, 2 * (2 * width + margins))
        self._chroma = np.zeros(shape if self._is_yuv else (0, 0), np.float32)
        self._others = _alike({n: x for n, x in state.items() if n != _FUSED})
        self._nothing = np.empty(0, np.float32)

    def warp(
        self, state: Mapping[str, np.ndarray], flow: np.ndarray
    ) -> dict[str, np.ndarray]:
        """See `StateWarper.warp`."""
        state = {
            name: np.require(x, requirements=["C", "W"]) for name, x in state.items()
        }
        cells = np.ascontiguousarray(flow)
        kernels.vectors_of_blocks(cells, self._vectors)
        kernels.mark_sources(cells, self._vectors, self._needed, self._moved)
        self._warp_pixels(state[_FUSED][0])
        if 2 * self._moved[0] > self._needed.size:
            self._warp_features(state, self._others, cells, copies=True)
            return state | self._others
        for name, other in self._others.items():
            kernels.copy_features(state[name][0], self._needed, other[0])
        self._warp_features(self._others, state, cells, copies=False)
        return state

    def _warp_pixels(self, blocks: np.ndarray) -> None:
        vectors, needed, scratch = self._vectors, self._needed, self._scratch
        if self._is_yuv:
            kernels.copy_yuv(blocks, needed, self._plane, self._chroma)
            kernels.warp_yuv(self._plane, self._chroma, vectors, scratch, blocks)
            return
        for first in range(0, blocks.shape[-1], 16):
            kernels.copy_plane(blocks, first, needed, self._plane)
            kernels.warp_plane(self._plane, vectors, first, scratch, blocks)

    def _warp_features(
        self,
        source: Mapping[str, np.ndarray],
        target: Mapping[str, np.ndarray],
        cells: np.ndarray,
        copies: bool,
    ) -> None:
        for name in self._others.keys() - {_FRAMES}:
            is_of_blocks = source[name].shape[1] == self._vectors.shape[0]
            vectors = self._vectors if is_of_blocks else cells
            kernels.warp_features(
                source[name].reshape(-1),
                (source[_FRAMES] if is_of_blocks else self._nothing).reshape(-1),
                vectors,
                vectors.shape[0] / (CELL * cells.shape[0]),
                copies,
                target[name].reshape(-1),
                (target[_FRAMES] if is_of_blocks else self._nothing).reshape(-1),
            )


class OpenCvWarper:
    """A `StateWarper` that needs no compiled code: the reference for the other one."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        planes = plane_shapes_of(state[_FUSED][0])
        self._height = planes[0][0]
        shapes = {*planes, *(array.shape[1:3] for array in state.values())}
        self._flows = {shape: np.empty((*shape, 2), np.float32) for shape in shapes}
        self._planes = [np.empty(shape, np.float32) for shape in planes]
        self._moved = [np.empty(shape, np.float32) for shape in planes]
        self._warped = _alike(state)

    def warp(
        self, state: Mapping[str, np.ndarray], flow: np.ndarray
    ) -> dict[str, np.ndarray]:
        """See `StateWarper.warp`."""
        for shape, dense in self._flows.items():
            scaled = flow * np.float32(shape[0] / self._height)
            cv2.resize(scaled, (shape[1], shape[0]), dst=dense)
        scatter_blocks(state[_FUSED][0], self._planes)
        for plane, moved in zip(self._planes, self._moved, strict=True):
            # A cheaper interpolation would blur the frame a little every time.
            flow = self._flows[plane.shape]
            remapped(plane, flow, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE, moved)
        gather_blocks(self._moved, self._warped[_FUSED][0])
        for name in state.keys() - {_FUSED}:
            array, warped = state[name][0], self._warped[name][0]
            flow = self._flows[array.shape[:2]]
            # Pixels that enter at the edges count as never seen.
            border = cv2.BORDER_CONSTANT if name == _FRAMES else cv2.BORDER_REPLICATE
            remapped(array, flow, cv2.INTER_LINEAR, border, warped)
        return self._warped


def _alike(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.empty(array.shape, np.float32) for name, array in state.items()}
