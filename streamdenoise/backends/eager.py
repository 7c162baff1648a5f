"""PyTorch, straight from the checkpoint: the reference that the others must equal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamdenoise.artefact import Artefact
from streamdenoise.blocks import gather_blocks, scatter_blocks
from streamdenoise.checkpoint import load_checkpoint
from streamdenoise.model import DeployedGraph


class EagerBackend:
    """The deployed graph in PyTorch, FP32, channels last."""

    name = "eager"

    def __init__(
        self,
        file: Path,
        artefact: Artefact,
        height: int,
        width: int,
        depth: int,
        threads: int | None,
    ) -> None:
        net, _ = load_checkpoint(file)
        # torch's type stubs lack this overload of `to`.
        net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._graph: Any = DeployedGraph(net).eval()
        self._state_shapes = artefact.state_shapes(height, width)
        dtype = np.uint8 if depth == 8 else np.uint16
        self._pixels = np.empty(self._state_shapes[0], dtype)
        self._peak = torch.full((1, 1, 1, 1), float((1 << depth) - 1))
        if threads is not None:
            torch.set_num_threads(threads)
        self.reset()

    @torch.inference_mode()
    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
    ) -> tuple[np.ndarray, ...]:
        gather_blocks(planes, self._pixels[0])
        pixels = torch.from_numpy(self._pixels.astype(np.float32))
        told = torch.from_numpy(sigma[None].astype(np.float32))
        factor = torch.full_like(self._peak, strength)
        clean, *self._state = self._graph(
            pixels, self._peak, told, factor, *self._state
        )
        cleaned = tuple(np.empty(plane.shape, plane.dtype) for plane in planes)
        scatter_blocks(clean.numpy().astype(self._pixels.dtype)[0], cleaned)
        return cleaned

    def reset(self) -> None:
        self._state = [torch.zeros(shape) for shape in self._state_shapes]

    def state(self) -> tuple[np.ndarray, ...]:
        return tuple(tensor.contiguous().numpy() for tensor in self._state)

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        self._state = [torch.from_numpy(array) for array in state]

    def close(self) -> None:
        self._state = []
        self._graph = None


def load(
    file: Path,
    artefact: Artefact,
    height: int,
    width: int,
    depth: int,
    threads: int | None,
) -> EagerBackend:
    """Build the network from its checkpoint."""
    return EagerBackend(file, artefact, height, width, depth, threads)
