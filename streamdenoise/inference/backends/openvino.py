"""OpenVINO on the CPU: INT8, or FP32 under a separate name."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

# Importing OpenVINO starts its usage reporting, a thread that uses the network. Without
# the module OpenVINO falls back to a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

from streamdenoise.imaging.blocks import gather_blocks, scatter_blocks  # noqa: E402
from streamdenoise.inference.backend import Backend, LaneInput  # noqa: E402
from streamdenoise.inference.backends.host_state import HostState  # noqa: E402
from streamdenoise.inference.step_request import StepRequest  # noqa: E402


class OpenVinoBackend(HostState):
    """One infer request on shared buffers, with two alternating sets of state.

    Streams of a batch have one each, for the same compiled model. They run one after
    the other, as each of them uses all threads.
    """

    def __init__(self, request: StepRequest, compiled: ov.CompiledModel) -> None:
        shapes = request.state_shapes
        self._pixels = np.zeros(request.pixels_shape, request.dtype)
        self._cleaned = np.zeros(request.pixels_shape, request.dtype)
        self._sigma = np.zeros((1, request.artifact.levels), np.float32)
        self._buffers = [
            [np.zeros(shape, np.float32) for shape in shapes] for _ in range(2)
        ]
        # OpenVINO's tensors do not keep alive the arrays that they share.
        self._peak = np.full((1, 1, 1, 1), request.peak, np.float32)
        self._request: Any = compiled.create_infer_request()
        self._strength = np.ones_like(self._peak)
        inputs = (self._pixels, self._peak, self._sigma, self._strength)
        for i, array in enumerate(inputs):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
        super().__init__(request)
        alone = replace(request, streams=1)
        self._others = [
            OpenVinoBackend(alone, compiled) for _ in range(request.streams - 1)
        ]

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
        self._sigma[0] = sigma
        gather_blocks(planes, self._pixels[0])
        # Write the set that is not read; both are free after `set_state`.
        old, new = self._buffers
        for i, array in enumerate((self._cleaned, *new)):
            self._request.set_output_tensor(i, ov.Tensor(array, shared_memory=True))
        self._request.infer()
        self._buffers = [new, old]
        self.set_state(new)
        cleaned = tuple(np.empty(plane.shape, plane.dtype) for plane in planes)
        scatter_blocks(self._cleaned[0], cleaned)
        return cleaned

    def reset(self) -> None:
        """Return to a fresh start."""
        for array in self._buffers[0]:
            array.fill(0)
        self.set_state(self._buffers[0])

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        for i, array in zip(range(4, 4 + len(self._buffers[0])), state, strict=True):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
        super().set_state(state)

    def layer_times(self) -> list[tuple[str, str, str, float]]:
        """Times of the layers in the last step, if loaded with `profile`.

        Returns:
            Name, kind, kernel (ends with its data type) and milliseconds of each layer
            that ran.
        """
        return [
            (
                layer.node_name,
                layer.node_type,
                layer.exec_type,
                layer.real_time.total_seconds() * 1e3,
            )
            for layer in self._request.get_profiling_info()
            if layer.real_time
        ]

    def close(self) -> None:
        """Free buffers and compiled code; may be called again."""
        super().close()
        for other in self._others:
            other.close()
        self._request, self._buffers, self._others = None, [], []


def compile_for(request: StepRequest, profile: bool = False) -> ov.CompiledModel:
    """Compile the artifact's graph for a request; `profile` times its layers."""
    artifact = request.artifact
    core = ov.Core()
    model = core.read_model(request.file)
    ones, levels = (1, 1, 1, 1), (1, artifact.levels)
    shapes = [request.pixels_shape, ones, levels, ones, *request.state_shapes]
    names = artifact.input_names
    model.reshape(dict(zip(names, map(ov.PartialShape, shapes), strict=True)))
    # Integer pixels cross the boundary; the casts run inside the graph.
    element = ov.Type.u8 if request.depth == 8 else ov.Type.u16
    adapter = PrePostProcessor(model)
    adapter.input("pixels").tensor().set_element_type(element)
    adapter.output("pixels_out").tensor().set_element_type(element)
    config = config_for(request)
    if profile:
        config["PERF_COUNT"] = "YES"
    return core.compile_model(adapter.build(), "CPU", config)


def config_for(request: StepRequest) -> dict[str, str]:
    """OpenVINO's properties for a request."""
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        # By default it runs "FP32" in bfloat16 on processors that have it.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if request.threads is not None:
        config["INFERENCE_NUM_THREADS"] = str(request.threads)
    return config


def load(request: StepRequest, profile: bool = False) -> OpenVinoBackend:
    """Compile the artifact's graph for this size, which takes less than a second.

    With `profile`, its layers are timed (`OpenVinoBackend.layer_times`), which costs a
    few percent.
    """
    return OpenVinoBackend(request, compile_for(request, profile))
