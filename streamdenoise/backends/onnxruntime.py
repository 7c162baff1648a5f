"""ONNX Runtime on the CPU, FP32: the portable one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from streamdenoise.artefact import Artefact
from streamdenoise.blocks import gather_blocks, scatter_blocks


class OnnxRuntimeBackend:
    """The deployed graph, with the casts from and to integers in numpy."""

    name = "onnxruntime"

    def __init__(
        self,
        file: Path,
        artefact: Artefact,
        height: int,
        width: int,
        depth: int,
        threads: int | None,
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session: Any = ort.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self._names = artefact.input_names
        self._state_shapes = artefact.state_shapes(height, width)
        dtype = np.uint8 if depth == 8 else np.uint16
        self._pixels = np.empty(self._state_shapes[0], dtype)
        self._peak = np.full((1, 1, 1, 1), (1 << depth) - 1, np.float32)
        self.reset()

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
    ) -> tuple[np.ndarray, ...]:
        """See `Backend.step`; planes may also be ``float32``, of any value.

        The result is then rounded and clipped to integers all the same.
        """
        pixels = self._pixels
        if planes[0].dtype == np.float32:
            pixels = np.empty(pixels.shape, np.float32)
        gather_blocks(planes, pixels[0])
        pixels = pixels.astype(np.float32, copy=False)
        told, factor = (
            sigma[None].astype(np.float32),
            np.full_like(self._peak, strength),
        )
        values = [pixels, self._peak, told, factor, *self._state]
        feed = dict(zip(self._names, values, strict=True))
        clean, *self._state = self._session.run(None, feed)
        cleaned = tuple(np.empty(p.shape, self._pixels.dtype) for p in planes)
        scatter_blocks(clean.astype(self._pixels.dtype)[0], cleaned)
        return cleaned

    def reset(self) -> None:
        self._state = [np.zeros(shape, np.float32) for shape in self._state_shapes]

    def state(self) -> tuple[np.ndarray, ...]:
        return tuple(self._state)

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        self._state = list(state)

    def close(self) -> None:
        self._session, self._state = None, []


def load(
    file: Path,
    artefact: Artefact,
    height: int,
    width: int,
    depth: int,
    threads: int | None,
) -> OnnxRuntimeBackend:
    """Start a session for this size."""
    return OnnxRuntimeBackend(file, artefact, height, width, depth, threads)
