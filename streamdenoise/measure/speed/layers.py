"""Times the layers of an INT8 step, and compares its convolutions with the peak.

``python -m streamdenoise.measure.speed.layers --model nano --size 720p`` prints a table
of OpenVINO's own counters. The peak is a large matrix product in the same runtime and
process (`streamdenoise.measure.speed.roofline`), which takes turns with the steps, so
that both see the same clock and the same other work.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.imaging.blocks import gather_blocks, plane_shapes_of, scatter_blocks
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backends import openvino
from streamdenoise.inference.backends.openvino_strips import STRIPS
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import cpu_name, package_versions
from streamdenoise.measure.speed.roofline import PeakMeter
from streamdenoise.threads import usable_cores
from streamdenoise.units import parse_size

_MOVES = ("Broadcast", "Concat", "DepthToSpace", "Gather", "Reorder", "Reshape")
_MOVES += ("Slice", "Split", "StridedSlice", "Transpose", "VariadicSplit")
_PRODUCTS = ("FullyConnected", "MatMul")
_CONVOLUTIONS = ("convolutions, INT8", "convolutions, FP32")

_WARMUP = 4
_NOISE_STD = 0.05


def group_of(kind: str, kernel: str) -> str:
    """The row of the table for a layer, by OpenVINO's names of its kind and kernel.

    Loops of our own are of the kind `STRIPS`.
    """
    if kind == "Convolution":
        return _CONVOLUTIONS[0 if kernel.endswith("I8") else 1]
    if kind == STRIPS:
        return "float part in strips"
    if kind.startswith(_PRODUCTS):
        return "transforms and other matrix products"
    if kind in _MOVES:
        return "reorders, concatenations, slices"
    return "element-wise"


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """Medians or least of the steps, in milliseconds unless stated otherwise."""

    model: str
    height: int
    width: int
    threads: int
    step_ms: float
    """From planes to planes, without the cost of the counters."""
    whole_ms: float
    """The same, if all of it is one graph; in turns with the other."""
    step_cpu_ms: float
    """CPU time of the step."""
    whole_cpu_ms: float
    """CPU time of the one graph."""
    cpu_ratio: float
    """CPU time of the step over that of the one graph: median of the pairs."""
    blocks_ms: float
    """The part of it that NumPy takes, from pixels to blocks and back."""
    layers: dict[str, tuple[str, float]] = field(repr=False)
    """Name -> group and time."""
    conv_gmac: float
    """10^9 multiply-accumulates of the convolutions in a step."""
    peak_int8: float
    """GMAC/s of a large matrix product in its best run."""
    peak_fp32: float

    @property
    def groups(self) -> dict[str, float]:
        """Group -> time, the longest first."""
        sums: dict[str, float] = {}
        for group, ms in self.layers.values():
            sums[group] = sums.get(group, 0.0) + ms
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    @property
    def conv_ms(self) -> float:
        return sum(self.groups.get(group, 0.0) for group in _CONVOLUTIONS)

    @property
    def layers_ms(self) -> float:
        return sum(self.groups.values())

    @property
    def outside_share(self) -> float:
        """Fraction of the time of layers and blocks outside the convolutions."""
        return 1 - self.conv_ms / (self.layers_ms + self.blocks_ms)

    @property
    def conv_gmac_s(self) -> float:
        return self.conv_gmac / self.conv_ms * 1e3

    def markdown(self, longest: int = 0) -> str:
        """The page in Markdown, with the `longest` slowest layers."""
        share = self.conv_gmac_s / self.peak_int8
        title = f"{self.model}, {self.width}x{self.height}, {self.threads} threads"
        rows = [
            *((group, f"{ms:.2f}") for group, ms in self.groups.items()),
            ("pixels to blocks and back (NumPy)", f"{self.blocks_ms:.2f}"),
            ("**sum**", f"**{self.layers_ms + self.blocks_ms:.2f}**"),
            ("a step without the counters", f"{self.step_ms:.2f}"),
            ("the same as one graph", f"{self.whole_ms:.2f}"),
        ]
        lines = [
            *markdown_table((title, "ms"), rows),
            "",
            f"Outside the convolutions: {self.outside_share:.0%} of the sum. "
            f"Convolutions: {self.conv_gmac:.2f} GMAC at "
            f"{self.conv_gmac_s:.0f} GMAC/s, {share:.0%} of the INT8 peak "
            f"({self.peak_int8:.0f} GMAC/s; FP32 {self.peak_fp32:.0f}).",
            "",
            f"CPU time of a step: {self.step_cpu_ms:.1f} ms, as one graph "
            f"{self.whole_cpu_ms:.1f} ms; ratio of the pairs: {self.cpu_ratio:.2f}.",
        ]
        if longest:
            order = sorted(self.layers.items(), key=lambda item: -item[1][1])
            cells = (
                (name, group, f"{ms:.2f}") for name, (group, ms) in order[:longest]
            )
            lines += ["", *markdown_table(("layer", "group", "ms"), cells)]
        return "\n".join(lines)


def profile_layers(
    model: str = "nano",
    size: str = "720p",
    steps: int = 30,
    threads: int | None = None,
    peak_side: int | None = None,
    least: bool = False,
) -> LayerProfile:
    """Time the layers of a model's INT8 step, and the machine's peak.

    Args:
        model: Name or manifest of the model.
        size: See `parse_size`; rounded down to a multiple of the model's.
        steps: Number of steps to time.
        threads: OpenVINO's threads; None uses one per core.
        peak_side: Side of the matrix product, see `PeakMeter`.
        least: Take the least of all times, as on a machine with other work.

    Raises:
        ConfigError: There is no such model or size.
        BackendUnavailableError: The model has no INT8 file.
    """
    artifact = open_artifact(model)
    width, height = (
        n // artifact.multiple * artifact.multiple for n in parse_size(size)
    )
    threads = threads or usable_cores()
    request = StepRequest("openvino", artifact, height, width, threads=threads)
    counted, plain = (
        openvino.load(request, profile=profile) for profile in (True, False)
    )
    whole = openvino.OpenVinoBackend(request, openvino.compile_for(request))
    frames = _noisy_frames(artifact, height, width, count=4)
    noise_std = np.full(artifact.levels, _NOISE_STD, np.float32)
    runtimes = ("openvino", "openvino-fp32")
    meter = PeakMeter(runtimes, threads, peak_side, copy_bytes=1 << 16)
    times: dict[str, list[float]] = {}
    layers: dict[str, tuple[str, list[float]]] = {}
    for i in range(_WARMUP + steps):
        planes = frames[i % len(frames)]
        for backend in (counted, plain, whole):
            backend.reset()  # later frames may leave out what stands still
        counted.step(planes, noise_std)
        measured: dict[str, float] = {}
        for name, backend in (("step", plain), ("whole", whole)):
            begin = time.process_time()
            measured[name] = _time_ms(backend.step, planes, noise_std)
            measured[f"{name}_cpu"] = (time.process_time() - begin) * 1e3
        measured["blocks"] = _time_ms(_through_blocks, artifact, planes)
        for runtime in runtimes:
            meter.turn(runtime, seconds=0)
        if i < _WARMUP:
            continue
        for name, ms in measured.items():
            times.setdefault(name, []).append(ms)
        for name, kind, kernel, ms in counted.layer_times():
            layers.setdefault(name, (group_of(kind, kernel), []))[1].append(ms)
    for backend in (counted, plain, whole):
        backend.close()
    typical = min if least else statistics.median
    taken = {name: typical(values) for name, values in times.items()}
    cpu = zip(times["step_cpu"], times["whole_cpu"], strict=True)
    # A multiply-accumulate is two operations.
    peaks = [meter.peak(runtime).tflops / 2 * 1e3 for runtime in runtimes]
    return LayerProfile(
        model=artifact.name,
        height=height,
        width=width,
        threads=threads,
        step_ms=taken["step"],
        whole_ms=taken["whole"],
        step_cpu_ms=taken["step_cpu"],
        whole_cpu_ms=taken["whole_cpu"],
        cpu_ratio=statistics.median(a / b for a, b in cpu),
        blocks_ms=taken["blocks"],
        layers={n: (g, typical(ms)) for n, (g, ms) in layers.items()},
        conv_gmac=artifact.manifest["kmac_per_px"] * height * width / 1e6,
        peak_int8=peaks[0],
        peak_fp32=peaks[1],
    )


def _noisy_frames(
    artifact: Artifact, height: int, width: int, count: int
) -> list[list[np.ndarray]]:
    """Frames of waves with noise, as 8-bit planes of the model's layout."""
    rng = np.random.default_rng(0)
    blocks = np.empty(artifact.state_shapes(height, width)[0][1:], np.uint8)
    frames = []
    for _ in range(count):
        planes = []
        for shape in plane_shapes_of(blocks):
            rows, columns = np.indices(shape, sparse=True)
            clean = 0.5 + 0.25 * np.sin(rows / 50) * np.cos(columns / 70)
            noisy = clean + rng.normal(0, _NOISE_STD, shape)
            planes.append((255 * noisy).round().clip(0, 255).astype(np.uint8))
        frames.append(planes)
    return frames


def _through_blocks(artifact: Artifact, planes: list[np.ndarray]) -> None:
    """The part of a step that NumPy does."""
    height, width = planes[0].shape
    blocks = np.empty(artifact.state_shapes(height, width)[0][1:], np.uint8)
    gather_blocks(planes, blocks)
    scatter_blocks(blocks, [np.empty_like(plane) for plane in planes])


def _time_ms(call: Callable[..., object], *args: object) -> float:
    begin = time.perf_counter()
    call(*args)
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", default="720p")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--longest", type=int, default=0, help="slowest layers to list")
    parser.add_argument("--least", action="store_true", help="least, not medians")
    args = parser.parse_args()
    profile = profile_layers(
        args.model, args.size, args.steps, args.threads, least=args.least
    )
    print(f"{cpu_name()}, OpenVINO {package_versions()['openvino']}\n")
    print(profile.markdown(args.longest))


if __name__ == "__main__":
    main()
