"""The same step in OpenVINO, ONNX Runtime and PyTorch, in turn, in one process.

``python -m streamdenoise.measure.speed.compare_runtimes --model nano --size 720p``
prints a table. It needs torch, and a C++ compiler for Inductor.
"""

import argparse
import importlib.metadata
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch

from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backends.torch_device import TorchDeviceBackend
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import cpu_name, usable_cores
from streamdenoise.measure.speed.layers import noisy_planes, time_ms
from streamdenoise.network.checkpoint import load_checkpoint
from streamdenoise.network.model import DeployedGraph
from streamdenoise.units import parse_size

_WARMUP = 3
_NOISE_STD = 0.05

Step = Callable[[Sequence[np.ndarray], np.ndarray], object]


def inductor_step(artifact: Artifact, height: int, width: int, threads: int) -> Step:
    """The eager backend's step, compiled by Inductor with its weights frozen."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    request = StepRequest("eager", artifact, height, width, threads=threads)
    net, _ = load_checkpoint(request.file)
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    compiled = torch.compile(DeployedGraph(net).eval())

    def launch(inputs: Sequence[torch.Tensor], outputs: Sequence[torch.Tensor]) -> None:
        # Compiled graphs take no tensors that were made in inference mode.
        with torch.inference_mode(False), torch.no_grad():
            values = compiled(*(x.clone() if x.is_inference() else x for x in inputs))
        for output, value in zip(outputs, values, strict=True):
            output.copy_(value)

    dtypes = len(artifact.state_names) * [torch.float32]
    return TorchDeviceBackend(request, launch, "cpu", dtypes).step


def compare(
    model: str, size: str, steps: int, threads: int | None = None
) -> dict[str, list[float]]:
    """Time all runtimes in turn.

    Returns:
        Name -> milliseconds of each step, planes in and planes out; the steps of one
        index ran right after each other.
    """
    artifact = open_artifact(model)
    width, height = (
        n // artifact.multiple * artifact.multiple for n in parse_size(size)
    )
    threads = threads or usable_cores()
    contenders: dict[str, Step] = {
        name: load_backend(
            StepRequest(name, artifact, height, width, threads=threads)
        ).step
        for name in ("openvino", "openvino-fp32", "onnxruntime", "eager")
    }
    contenders["inductor"] = inductor_step(artifact, height, width, threads)
    frames = noisy_planes(artifact, height, width, count=4)
    sigma = np.full(artifact.sigmas, _NOISE_STD, np.float32)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(_WARMUP + steps):
        for name, step in contenders.items():
            ms = time_ms(step, frames[i % len(frames)], sigma)
            if i >= _WARMUP:
                times[name].append(ms)
    return times


def table(times: dict[str, list[float]]) -> str:
    """Markdown: medians, and the median of how often longer than the first one."""
    first = next(iter(times.values()))
    rows = ["| runtime | median ms | times the first |", "|---|---|---|"]
    for name, values in times.items():
        ratio = statistics.median(b / a for a, b in zip(first, values, strict=True))
        rows.append(f"| {name} | {statistics.median(values):.1f} | {ratio:.2f} |")
    return "\n".join(rows)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", default="720p")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int)
    told = parser.parse_args()
    times = compare(told.model, told.size, told.steps, told.threads)
    packages = ("openvino", "onnxruntime", "torch")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    print(f"{cpu_name()}, {', '.join(versions)}\n")
    print(table(times))


if __name__ == "__main__":
    main()
