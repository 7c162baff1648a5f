"""Warps the state of a stream along its motion, to align it with the next frame."""

from collections.abc import Mapping

import cv2
import numpy as np

from streamdenoise.imaging.blocks import gather_blocks, plane_shapes_of, scatter_blocks
from streamdenoise.imaging.motion import CELL, remapped
from streamdenoise.kernels import warp as kernels

_FUSED, _FRAMES = "fused", "frames"
_CHROMA = 16
"""First channel of the chroma in blocks of yuv420."""


def why_not_compiled() -> str:
    """Load the compiled code, at the first call; why it cannot be used, or nothing.

    The first time on a machine takes seconds, so this belongs before the first frame.
    """
    return next(filter(None, (each.why_not() for each in kernels.ALL)), "")


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
        kind = OpenCvWarper if why_not_compiled() else CompiledWarper
        self._warper = kind(state)

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
        return self._warper.warp(state, flow)


class CompiledWarper:
    """A `StateWarper` in which all pixels of a block share one vector."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        height, width, channels = state[_FUSED].shape[1:]
        self._vectors = np.empty((height, width, 2), np.float32)
        self._scratch = np.empty(kernels.SCRATCH, np.float32)
        margins = 2 * kernels.MARGIN
        self._plane = np.empty((4 * height + margins, 4 * width + margins), np.float32)
        self._has_chroma = channels == _CHROMA + 8
        shape = (2 * height + margins, 2 * (2 * width + margins))
        self._chroma = np.empty(shape if self._has_chroma else (0, 0), np.float32)
        self._warped = _alike(state)

    def warp(
        self, state: Mapping[str, np.ndarray], flow: np.ndarray
    ) -> dict[str, np.ndarray]:
        """See `StateWarper.warp`."""
        vectors, scratch = self._vectors, self._scratch
        cells = np.ascontiguousarray(flow)
        kernels.vectors_of_blocks(cells, vectors)
        blocks, warped = state[_FUSED][0], self._warped[_FUSED][0]
        whole = _CHROMA if self._has_chroma else blocks.shape[-1]
        for first in range(0, whole, 16):
            kernels.scatter_plane(blocks, first, self._plane)
            kernels.warp_plane(self._plane, vectors, blocks, first, scratch, warped)
        if self._has_chroma:
            kernels.scatter_chroma(blocks, self._chroma)
            kernels.warp_chroma(self._chroma, vectors, blocks, scratch, warped)
        for name in state.keys() - {_FUSED}:
            array, warped = state[name][0], self._warped[name][0]
            scale = array.shape[0] / (CELL * cells.shape[0])
            dense = vectors if array.shape[:2] == vectors.shape[:2] else cells
            ends = name == _FRAMES
            kernels.warp_features(array, dense, scale, ends, warped)
        return self._warped


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
