"""OpenVINO on the CPU: INT8, or FP32 under a separate name; or on a GPU or an NPU."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from streamdenoise.errors import BackendUnavailableError
from streamdenoise.inference.backends.openvino_parts import (
    CannotCutError,
    compile_parts,
)
from streamdenoise.inference.backends.openvino_runtime import (
    PrePostProcessor,
    config_for,
    devices,
    ov,
)
from streamdenoise.inference.backends.openvino_shared import shared
from streamdenoise.inference.backends.openvino_stream import (
    OpenVinoStream,
    layer_times_of,
)
from streamdenoise.inference.backends.openvino_strips import StripsBackend
from streamdenoise.inference.step_request import StepRequest

log = logging.getLogger(__name__)


class OpenVinoBackend(OpenVinoStream):
    """One infer request of the whole graph."""

    def __init__(self, request: StepRequest, compiled: ov.CompiledModel) -> None:
        self._sigma = np.zeros((1, request.artifact.levels), np.float32)
        # OpenVINO's tensors do not keep alive the arrays that they share.
        self._peak = np.full((1, 1, 1, 1), request.peak, np.float32)
        self._strength = np.ones_like(self._peak)
        self._compiled: ov.CompiledModel | None = compiled  # see `shared`
        self._request: Any = compiled.create_infer_request()
        alone = replace(request, streams=1)
        super().__init__(
            request,
            [OpenVinoBackend(alone, compiled) for _ in range(request.streams - 1)],
        )
        inputs = (self._pixels, self._peak, self._sigma, self._strength)
        for i, array in enumerate(inputs):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))

    def _advance(self, sigma: np.ndarray, new: list[np.ndarray]) -> None:
        self._sigma[0] = sigma
        for i, array in enumerate((self._cleaned, *new)):
            self._request.set_output_tensor(i, ov.Tensor(array, shared_memory=True))
        self._request.infer()

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        for i, array in zip(range(4, 4 + len(self._buffers[0])), state, strict=True):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
        super().set_state(state)

    def layer_times(self) -> list[tuple[str, str, str, float]]:
        return layer_times_of(self._request)

    def close(self) -> None:
        super().close()
        self._request = self._compiled = None


def compile_for(
    request: StepRequest, profile: bool = False, device: str = "CPU"
) -> ov.CompiledModel:
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
    config = config_for(request, profile, device)
    return core.compile_model(adapter.build(), device, config)


def load(
    request: StepRequest, profile: bool = False, device: str = "CPU"
) -> OpenVinoStream:
    """Compile the artifact's graph for this size, which takes less than a second.

    Streams of this process that have the same model, size and options share it.

    If it is one of ours in INT8, its float part runs on the CPU in loops that are
    compiled for it, in half the time. With `profile`, its layers are timed
    (`OpenVinoStream.layer_times`), which costs a few percent.

    Raises:
        BackendUnavailableError: OpenVINO has no such device here.
    """
    if device not in devices():
        raise BackendUnavailableError(
            f"{request.backend} cannot be used: OpenVINO finds no {device}, only "
            f"{', '.join(devices())}; install the driver of the {device}"
        )
    if (
        device == "CPU"
        and StripsBackend.takes(request)
        and not StripsBackend.why_not(request)
    ):
        try:
            return StripsBackend(request, shared(compile_parts, request, profile))
        except CannotCutError as exc:
            log.debug("%s is run as one graph: %s", request.artifact.name, exc)
    return OpenVinoBackend(request, shared(compile_for, request, profile, device))
