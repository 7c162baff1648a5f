"""OpenVINO on the CPU: INT8 where the artefact has it, else FP32."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

# Importing OpenVINO starts its usage reporting, a thread that wants the network. A
# camera tool does neither; without the module OpenVINO falls back to its own stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

from streamdenoise.artefact import Artefact  # noqa: E402


class OpenVinoBackend:
    """Two infer requests in turn: each one's output state is the other's input."""

    def __init__(
        self,
        file: Path,
        artefact: Artefact,
        height: int,
        width: int,
        depth: int,
        threads: int | None,
        precision: str,
    ) -> None:
        self.name = "openvino" if precision == "int8" else "openvino-fp32"
        plane_shapes = artefact.plane_shapes(height, width)
        core = ov.Core()
        model = core.read_model(file)
        shapes = [
            *plane_shapes,
            (1, 1, 1, 1),
            (1, len(plane_shapes)),
            *artefact.state_shapes(height, width),
        ]
        names = artefact.input_names
        model.reshape(dict(zip(names, map(ov.PartialShape, shapes), strict=True)))
        # Integer planes cross the boundary; the casts run inside the graph.
        element = ov.Type.u8 if depth == 8 else ov.Type.u16
        adapter = PrePostProcessor(model)
        for plane in artefact.manifest["planes"]:
            adapter.input(plane).tensor().set_element_type(element)
            adapter.output(f"{plane}_out").tensor().set_element_type(element)
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left alone it would run "FP32" in bfloat16 on chips that have it.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = str(threads)
        compiled = core.compile_model(adapter.build(), "CPU", config)
        count = len(plane_shapes)
        dtype = np.uint8 if depth == 8 else np.uint16
        self._planes = [np.zeros(shape, dtype) for shape in plane_shapes]
        self._peak = np.full((1, 1, 1, 1), (1 << depth) - 1, np.float32)
        self._sigma = np.zeros((1, count), np.float32)
        state_shapes = artefact.state_shapes(height, width)
        self._states = [
            [np.zeros(shape, np.float32) for shape in state_shapes] for _ in range(2)
        ]
        self._requests = []
        for turn in range(2):
            request = compiled.create_infer_request()
            for i, plane in enumerate(self._planes):
                request.set_input_tensor(i, ov.Tensor(plane, shared_memory=True))
            request.set_input_tensor(count, ov.Tensor(self._peak, shared_memory=True))
            request.set_input_tensor(
                count + 1, ov.Tensor(self._sigma, shared_memory=True)
            )
            for i, new in enumerate(self._states[1 - turn]):
                request.set_output_tensor(count + i, ov.Tensor(new, shared_memory=True))
            self._requests.append(request)
        self._turn = 0
        self.set_state(self._states[0])

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        request = self._requests[self._turn]
        self._sigma[0] = sigma
        outputs = []
        for i, (plane, held) in enumerate(zip(planes, self._planes, strict=True)):
            if plane.dtype != held.dtype:
                raise TypeError(f"planes must be {held.dtype}, got {plane.dtype}")
            # Copied, as decoders lend read-only memory, which OpenVINO cannot share.
            np.copyto(held, plane.reshape(held.shape))
            output = np.empty_like(held)
            request.set_output_tensor(i, ov.Tensor(output, shared_memory=True))
            outputs.append(output.reshape(plane.shape))
        request.infer()
        self._turn = 1 - self._turn
        self.set_state(self._states[self._turn])
        return tuple(outputs)

    def reset(self) -> None:
        for array in self._states[self._turn]:
            array.fill(0)
        self.set_state(self._states[self._turn])

    def state(self) -> tuple[np.ndarray, ...]:
        return tuple(self._state)

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        self._state = list(state)
        first = len(self._planes) + 2
        for i, array in enumerate(self._state, first):
            tensor = ov.Tensor(array, shared_memory=True)
            self._requests[self._turn].set_input_tensor(i, tensor)

    def close(self) -> None:
        self._requests = []


def load(
    file: Path,
    artefact: Artefact,
    height: int,
    width: int,
    depth: int,
    threads: int | None,
    precision: str = "int8",
) -> OpenVinoBackend:
    """Compile the artefact's graph for this size."""
    return OpenVinoBackend(file, artefact, height, width, depth, threads, precision)
