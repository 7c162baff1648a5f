"""OpenVINO on the CPU: INT8, or FP32 under a name of its own."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

# Importing OpenVINO starts its usage reporting, a thread that wants the network. A
# camera tool does neither; without the module OpenVINO falls back to its own stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

from streamdenoise.errors import ConfigError, EngineLoadError  # noqa: E402
from streamdenoise.imaging.blocks import gather_blocks, scatter_blocks  # noqa: E402
from streamdenoise.inference.backend import EngineOptions, OnBuild  # noqa: E402
from streamdenoise.inference.backends.host_state import HostState  # noqa: E402
from streamdenoise.inference.step_request import StepRequest  # noqa: E402
from streamdenoise.machine import cpu_name  # noqa: E402


class OpenVinoBackend(HostState):
    """One infer request on buffers of ours; two sets of state are written in turn."""

    def __init__(self, request: StepRequest, compiled: ov.CompiledModel) -> None:
        shapes = request.state_shapes
        self._pixels = np.zeros(request.pixels_shape, request.dtype)
        self._cleaned = np.zeros(request.pixels_shape, request.dtype)
        self._sigma = np.zeros((1, request.artifact.sigmas), np.float32)
        self._buffers = [
            [np.zeros(shape, np.float32) for shape in shapes] for _ in range(2)
        ]
        # OpenVINO's tensors do not keep the arrays alive that they share.
        self._peak = np.full((1, 1, 1, 1), request.peak, np.float32)
        self._request: Any = compiled.create_infer_request()
        self._strength = np.ones_like(self._peak)
        told = (self._pixels, self._peak, self._sigma, self._strength)
        for i, array in enumerate(told):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
        super().__init__(request)

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
    ) -> tuple[np.ndarray, ...]:
        """See `Backend.step`."""
        self._sigma[0], self._strength[...] = sigma, strength
        gather_blocks(planes, self._pixels[0])
        # The set that is not read; both are free where the state came from elsewhere.
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
        """See `Backend.set_state`."""
        for i, array in zip(range(4, 4 + len(self._buffers[0])), state, strict=True):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
        super().set_state(state)

    def layer_times(self) -> list[tuple[str, str, str, float]]:
        """What the last step spent, if this was loaded to `profile`.

        Returns:
            Name, kind, kernel (its data type last) and milliseconds of each layer that
            ran.
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
        self._request, self._buffers = None, []


def runtime() -> str:
    """Name and version, which engines depend on."""
    return f"OpenVINO {ov.__version__.split('-')[0]}"


def device(options: EngineOptions) -> str:
    """The processor that an engine is built for.

    Raises:
        ConfigError: it shall be built for others.
    """
    if options != EngineOptions():
        raise ConfigError(
            "OpenVINO builds for this processor, version and size only; leave out "
            "--compute-capability, --version-compatible, --hardware-compatible and "
            "--dynamic"
        )
    return cpu_name()


def build(
    request: StepRequest, options: EngineOptions, on_build: OnBuild | None
) -> bytes:
    """Compile and serialize; loading that saves little, as compiling takes 0.3 s."""
    return _compile(request).export_model().getvalue()


def _compile(request: StepRequest, profile: bool = False) -> ov.CompiledModel:
    artifact = request.artifact
    core = ov.Core()
    model = core.read_model(request.file)
    ones, told = (1, 1, 1, 1), (1, artifact.sigmas)
    shapes = [request.pixels_shape, ones, told, ones, *request.state_shapes]
    names = artifact.input_names
    model.reshape(dict(zip(names, map(ov.PartialShape, shapes), strict=True)))
    # Integer pixels cross the boundary; the casts run inside the graph.
    element = ov.Type.u8 if request.depth == 8 else ov.Type.u16
    adapter = PrePostProcessor(model)
    adapter.input("pixels").tensor().set_element_type(element)
    adapter.output("pixels_out").tensor().set_element_type(element)
    config = _config(request)
    if profile:
        config["PERF_COUNT"] = "YES"
    return core.compile_model(adapter.build(), "CPU", config)


def _config(request: StepRequest) -> dict[str, str]:
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        # Left alone it would run "FP32" in bfloat16 on chips that have it.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if request.threads is not None:
        config["INFERENCE_NUM_THREADS"] = str(request.threads)
    return config


def load(
    request: StepRequest,
    engine: bytes | None = None,
    profile: bool = False,
) -> OpenVinoBackend:
    """Compile the artifact's graph for this size, or take an engine of it.

    With `profile`, its layers are timed (`OpenVinoBackend.layer_times`), which costs a
    few per cent.
    """
    if engine is None:
        return OpenVinoBackend(request, _compile(request, profile))
    try:
        compiled = ov.Core().import_model(engine, "CPU", _config(request))
    except RuntimeError as exc:
        reason = " ".join(str(exc).split())[:200]
        raise EngineLoadError(
            f"{request.backend} cannot load its engine: {reason}"
        ) from exc
    return OpenVinoBackend(request, compiled)
