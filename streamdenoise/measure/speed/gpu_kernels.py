"""What an NVIDIA GPU would have to do for a step, from engines built without one.

TensorRT-RTX lists the kernels of an engine that it builds, with the tensors that each
reads and writes. For these small networks moving the tensors takes longer than the
arithmetic, so the bytes give the time in advance, roughly.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamdenoise.console.table import markdown_table
from streamdenoise.errors import BackendError
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.backend import EngineOptions
from streamdenoise.inference.backends import tensorrt
from streamdenoise.inference.registry import explained
from streamdenoise.inference.step_request import StepRequest

CAPABILITY = "8.9"
"""The compute capability that engines are built for: Ada."""

BANDWIDTHS = {
    "GeForce RTX 3060": 360.0,
    "GeForce RTX 4060": 272.0,
    "GeForce RTX 4090": 1008.0,
    "GeForce RTX 5070": 672.0,
    "GeForce RTX 5090": 1792.0,
}
"""GPU -> 10^9 bytes a second, by NVIDIA's data sheets."""

REACHED = 0.7
"""Part of that bandwidth that kernels are taken to reach."""
LAUNCH_US = 3.0
"""What each kernel is taken to cost besides its bytes, in microseconds."""

_BACKENDS = ("tensorrt-rtx", "tensorrt-rtx-int8")
_KERNEL = re.compile(
    r"^Name: (?P<name>\S+), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*)\], "
    r"Constants: \[(?P<constants>.*)\], Outputs: \[(?P<outputs>.*)\], TacticName:",
    re.MULTILINE,
)
_TENSOR = re.compile(r"Dimensions: \[([\d,]*)\].*?Datatype: (\w+)")
_SYNCHRONIZATION = ("signal", "wait")
_BYTES = {"Half": 2, "Float": 4, "Int8": 1, "Int32": 4, "Int64": 8, "Bool": 1}


@dataclass(frozen=True, slots=True)
class GPUKernel:
    """One launch in a step."""

    name: str
    """TensorRT's, which lists the operations that it has fused."""
    kind: str
    bytes: int
    """Read and written, once for each tensor."""


def kernels_of(description: str) -> list[GPUKernel]:
    """The kernels in TensorRT's description of an engine."""
    return [
        GPUKernel(
            match["name"],
            match["kind"],
            sum(
                math.prod(int(side) for side in sides.split(",") if side) * _BYTES[kind]
                for part in ("inputs", "constants", "outputs")
                for sides, kind in _TENSOR.findall(match[part])
            ),
        )
        for match in _KERNEL.finditer(description)
        if match["kind"] not in _SYNCHRONIZATION
    ]


def gpu_kernels(request: StepRequest) -> list[GPUKernel]:
    """The kernels of a step, in the engine that TensorRT-RTX builds for it.

    Raises:
        BackendUnavailableError: The artifact lacks the file, or TensorRT-RTX is not
            installed.
        EngineBuildError: It rejects the model.
    """
    options = EngineOptions(compute_capabilities=(CAPABILITY,))
    with explained(request.backend):
        return kernels_of(tensorrt.description(request, options, "tensorrt-rtx"))


@dataclass(frozen=True, slots=True)
class GPUPrediction:
    """A step of one backend at one size; the names are those of the JSON file."""

    backend: str
    size: str
    precision: str
    kernels: int
    mb_moved: float
    """10^6 bytes that the kernels read and write."""
    step_ms: dict[str, float]
    """GPU -> predicted time."""

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        times = (f"{ms:.2f}" for ms in self.step_ms.values())
        moved = f"{self.mb_moved:.0f}"
        return self.size, self.backend, str(self.kernels), moved, *times


def predict(
    artifact: Artifact, shapes: Mapping[str, tuple[int, int]]
) -> list[GPUPrediction]:
    """Predict a step's time on some GPUs.

    Args:
        artifact: The model.
        shapes: Name of each size, and its width and height in pixels.

    Returns:
        One prediction for each backend and size; none for what cannot be built here.
    """
    found: list[GPUPrediction] = []
    for backend in _BACKENDS:
        for size, (width, height) in shapes.items():
            request = StepRequest(backend, artifact, height, width)
            try:
                kernels = gpu_kernels(request)
            except BackendError:
                continue
            moved = sum(kernel.bytes for kernel in kernels)
            times = {
                gpu: moved / (REACHED * bandwidth * 1e6)
                + len(kernels) * LAUNCH_US / 1e3
                for gpu, bandwidth in BANDWIDTHS.items()
            }
            precision = request.precision
            found.append(
                GPUPrediction(
                    backend, size, precision, len(kernels), moved / 1e6, times
                )
            )
    return found


def prediction_lines(predictions: Sequence[GPUPrediction]) -> list[str]:
    """The table in Markdown, and how to read it."""
    header = ("size", "backend", "kernels", "MB moved", *BANDWIDTHS)
    return [
        "**Predicted, not measured:** milliseconds of a step on GPUs, from the kernels "
        f"in TensorRT-RTX's engines for compute capability {CAPABILITY}. The bytes "
        f"that they move, at {REACHED:.0%} of the bandwidth in NVIDIA's data sheets, "
        f"and {LAUNCH_US:g} us for each kernel. Motion search is not in it.",
        "",
        *markdown_table(header, (each.row() for each in predictions)),
    ]
