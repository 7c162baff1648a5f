"""What all ways to run a step in OpenVINO share: buffers, and streams of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamdenoise.imaging.blocks import gather_blocks, scatter_blocks
from streamdenoise.inference.backend import Backend, LaneInput
from streamdenoise.inference.backends.host_state import HostState
from streamdenoise.inference.backends.openvino_runtime import ov
from streamdenoise.inference.step_request import StepRequest


class OpenVinoStream(HostState, ABC):
    """Shared buffers with two alternating sets of state.

    The other streams of a batch have their own. They run one after the other, as each
    of them uses all threads.
    """

    def __init__(
        self, request: StepRequest, others: Sequence["OpenVinoStream"]
    ) -> None:
        self._pixels = np.zeros(request.pixels_shape, request.dtype)
        self._cleaned = np.zeros(request.pixels_shape, request.dtype)
        self._buffers = [
            [np.zeros(shape, np.float32) for shape in request.state_shapes]
            for _ in range(2)
        ]
        self._others = others
        super().__init__(request)

    def lane(self, index: int) -> Backend:
        """See `BatchBackend.lane`."""
        return self._others[index - 1] if index else self

    def step_lanes(
        self, inputs: Mapping[int, LaneInput]
    ) -> dict[int, tuple[np.ndarray, ...]]:
        """See `BatchBackend.step_lanes`."""
        return {
            index: self.lane(index).step(given.planes, given.sigma)
            for index, given in inputs.items()
        }

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        self._read(planes)
        # Write the set that is not read; both are free after `set_state`.
        old, new = self._buffers
        self._advance(sigma, new)
        self._buffers = [new, old]
        self.set_state(new)
        cleaned = tuple(np.empty(plane.shape, plane.dtype) for plane in planes)
        self._write(cleaned)
        return cleaned

    def _read(self, planes: Sequence[np.ndarray]) -> None:
        """Write planes to `_pixels`."""
        gather_blocks(planes, self._pixels[0])

    def _write(self, planes: Sequence[np.ndarray]) -> None:
        """Write `_cleaned` to planes."""
        scatter_blocks(self._cleaned[0], planes)

    @abstractmethod
    def _advance(self, sigma: np.ndarray, new: list[np.ndarray]) -> None:
        """Denoise `_pixels` into `_cleaned`, and write the next state to `new`."""

    def reset(self) -> None:
        """Return to a fresh start."""
        for array in self._buffers[0]:
            array.fill(0)
        self.set_state(self._buffers[0])

    @abstractmethod
    def layer_times(self) -> list[tuple[str, str, str, float]]:
        """Times of the layers in the last step, if loaded with `profile`.

        Returns:
            Name, kind, kernel (ends with its data type) and milliseconds of each layer
            that ran.
        """

    def close(self) -> None:
        """Free buffers and compiled code; may be called again."""
        super().close()
        for other in self._others:
            other.close()
        self._buffers, self._others = [], []


def infer(
    request: Any, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
) -> None:
    """Run an infer request on arrays, in place."""
    for i, array in enumerate(inputs):
        request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
    for i, array in enumerate(outputs):
        request.set_output_tensor(i, ov.Tensor(array, shared_memory=True))
    request.infer()


def layer_times_of(request: Any) -> list[tuple[str, str, str, float]]:
    """See `OpenVinoStream.layer_times`, of one infer request."""
    return [
        (
            layer.node_name,
            layer.node_type,
            layer.exec_type,
            layer.real_time.total_seconds() * 1e3,
        )
        for layer in request.get_profiling_info()
        if layer.real_time
    ]
