"""PyTorch, straight from the checkpoint: the reference that the others must equal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamdenoise.artefact import Artefact
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
        self._plane_shapes = artefact.plane_shapes(height, width)
        self._state_shapes = artefact.state_shapes(height, width)
        self._peak = torch.full((1, 1, 1, 1), float((1 << depth) - 1))
        if threads is not None:
            torch.set_num_threads(threads)
        self.reset()

    @torch.inference_mode()
    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        inputs = [
            torch.from_numpy(plane.reshape(shape).astype(np.float32))
            for plane, shape in zip(planes, self._plane_shapes, strict=True)
        ]
        told = torch.from_numpy(sigma[None].astype(np.float32))
        outputs = self._graph(*inputs, self._peak, told, *self._state)
        count = len(planes)
        self._state = list(outputs[count:])
        return tuple(
            output.numpy().astype(plane.dtype).reshape(plane.shape)
            for output, plane in zip(outputs[:count], planes, strict=True)
        )

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
