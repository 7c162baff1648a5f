"""ONNX Runtime, on the CPU or through the providers of other devices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from streamdenoise.errors import BackendUnavailableError
from streamdenoise.imaging.blocks import gather_blocks, scatter_blocks
from streamdenoise.inference.backends.host_state import HostState
from streamdenoise.inference.step_request import StepRequest

_REMEDIES = {
    "CUDAExecutionProvider": "pip install onnxruntime-gpu in place of onnxruntime",
    "DmlExecutionProvider": "pip install onnxruntime-directml in place of onnxruntime, "
    "on Windows",
    "CoreMLExecutionProvider": "it comes with onnxruntime on macOS",
}


class OnnxRuntimeBackend(HostState):
    """The deployed graph; numpy does the casts from and to integers."""

    def __init__(self, request: StepRequest, provider: str) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if request.threads is not None:
            options.intra_op_num_threads = request.threads
        if provider == "DmlExecutionProvider":
            # DirectML supports neither.
            options.enable_mem_pattern = False
            options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        providers = [provider, "CPUExecutionProvider"]
        self._session: Any = ort.InferenceSession(
            request.file, options, providers=list(dict.fromkeys(providers))
        )
        if self._session.get_providers()[0] != provider:
            raise BackendUnavailableError(
                f"{request.backend} found no device for {provider}; choose "
                "another --backend"
            )
        self._inputs = request.artifact.input_names
        # Half-precision graphs keep part of their state in half precision.
        halves = [i.name for i in self._session.get_inputs() if "float16" in i.type]
        self._dtypes = [
            np.float16 if name in halves else np.float32
            for name in request.artifact.state_names
        ]
        self._pixels = np.empty(request.pixels_shape, request.dtype)
        self._peak = np.full((1, 1, 1, 1), request.peak, np.float32)
        self._strength = np.ones_like(self._peak)
        super().__init__(request)

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """See `Backend.step`; planes may also be ``float32`` with any values.

        The result is rounded and clipped to integers in any case.
        """
        pixels = self._pixels
        if planes[0].dtype == np.float32:
            pixels = np.empty(pixels.shape, np.float32)
        gather_blocks(planes, pixels[0])
        pixels = pixels.astype(np.float32, copy=False)
        levels = sigma[None].astype(np.float32)
        state = [
            array.astype(dtype, copy=False)
            for array, dtype in zip(self._state, self._dtypes, strict=True)
        ]
        values = [pixels, self._peak, levels, self._strength, *state]
        feed = dict(zip(self._inputs, values, strict=True))
        clean, *state = self._session.run(None, feed)
        self._state = [array.astype(np.float32, copy=False) for array in state]
        cleaned = tuple(np.empty(p.shape, self._pixels.dtype) for p in planes)
        with np.errstate(invalid="ignore"):  # of a state that is not finite
            integers = clean.astype(self._pixels.dtype)
        scatter_blocks(integers[0], cleaned)
        return cleaned

    def close(self) -> None:
        """Free the session; may be called again."""
        super().close()
        self._session = None


def load(
    request: StepRequest, provider: str = "CPUExecutionProvider"
) -> OnnxRuntimeBackend:
    """Start a session for this size.

    Raises:
        BackendUnavailableError: this build of ONNX Runtime, or the machine, lacks the
            provider.
    """
    if provider not in ort.get_available_providers():
        raise BackendUnavailableError(
            f"{request.backend} needs ONNX Runtime with {provider}, which this "
            f"build lacks; {_REMEDIES.get(provider, 'install another build')}"
        )
    return OnnxRuntimeBackend(request, provider)
