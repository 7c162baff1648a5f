"""Where the milliseconds of an INT8 step go, and how far it is from the peak.

``python -m streamdenoise.layer_profile --model nano --size 720p`` prints a table, by
OpenVINO's own counters. The peak is a large matrix product in the same runtime and
process, in turn with the steps, so that both see the same clock and neighbours.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamdenoise.artefact import Artefact, open_artefact
from streamdenoise.backends import openvino
from streamdenoise.backends.openvino import ov
from streamdenoise.blocks import gather_blocks, plane_shapes_of, scatter_blocks
from streamdenoise.errors import ConfigError
from streamdenoise.machine import cpu_name, usable_cores

SIZES = {"360p": (360, 640), "720p": (720, 1280), "1080p": (1080, 1920)}
"""Name -> height and width of the luma, cut to a multiple of the model's."""

_MOVES = ("Broadcast", "Concat", "DepthToSpace", "Gather", "Reorder", "Reshape")
_MOVES += ("Slice", "Split", "StridedSlice", "Transpose", "VariadicSplit")
_PRODUCTS = ("FullyConnected", "MatMul")
_CONVOLUTIONS = ("convolutions, INT8", "convolutions, FP32")

_WARMUP = 4
_PEAK_SIDE = 2048
_NOISE_STD = 0.05


def group_of(kind: str, kernel: str) -> str:
    """Which row of the table a layer belongs to, by OpenVINO's names for both."""
    if kind == "Convolution":
        return _CONVOLUTIONS[0 if kernel.endswith("I8") else 1]
    if kind.startswith(_PRODUCTS):
        return "transforms and other matrix products"
    if kind in _MOVES:
        return "reorders, concatenations, slices"
    return "element-wise"


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """Medians over the steps, in milliseconds if not said otherwise."""

    model: str
    height: int
    width: int
    threads: int
    step_ms: float
    """Planes in, planes out, without the counters' cost."""
    blocks_ms: float
    """Of that, pixels to blocks and back, in numpy."""
    layers: dict[str, tuple[str, float]] = field(repr=False)
    """Name -> group and time."""
    conv_gmac: float
    """Thousand million multiply-accumulates of the convolutions in a step."""
    peak_int8: float
    """GMAC/s of a large matrix product."""
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
        """Of the layers' time and that of the blocks, what is no convolution."""
        return 1 - self.conv_ms / (self.layers_ms + self.blocks_ms)

    @property
    def conv_gmac_s(self) -> float:
        return self.conv_gmac / self.conv_ms * 1e3

    def table(self, longest: int = 0) -> str:
        """Markdown; with the layers that take longest, if wanted."""
        share = self.conv_gmac_s / self.peak_int8
        rows = [
            f"| {self.model}, {self.width}x{self.height}, {self.threads} threads "
            "| ms |",
            "|---|---|",
            *(f"| {group} | {ms:.2f} |" for group, ms in self.groups.items()),
            f"| pixels to blocks and back (numpy) | {self.blocks_ms:.2f} |",
            f"| **sum** | **{self.layers_ms + self.blocks_ms:.2f}** |",
            f"| a step without the counters | {self.step_ms:.2f} |",
            "",
            f"Outside the convolutions: {self.outside_share:.0%} of the sum. "
            f"Convolutions: {self.conv_gmac:.2f} GMAC at "
            f"{self.conv_gmac_s:.0f} GMAC/s, {share:.0%} of the INT8 peak "
            f"({self.peak_int8:.0f} GMAC/s; FP32 {self.peak_fp32:.0f}).",
        ]
        if longest:
            order = sorted(self.layers.items(), key=lambda item: -item[1][1])
            rows += ["", "| layer | group | ms |", "|---|---|---|"]
            rows += [
                f"| {name} | {group} | {ms:.2f} |"
                for name, (group, ms) in order[:longest]
            ]
        return "\n".join(rows)


def profile_layers(
    model: str = "nano",
    size: str = "720p",
    steps: int = 30,
    threads: int | None = None,
    peak_side: int = _PEAK_SIDE,
) -> LayerProfile:
    """Time the layers of a model's INT8 step, and the machine's peak.

    Args:
        model: name or manifest of the model.
        size: a key of `SIZES`.
        steps: how many are timed.
        threads: of OpenVINO; None takes one for each core.
        peak_side: rows and columns of the matrix product.

    Raises:
        ConfigError: no such model or size, or the model has no INT8 file.
    """
    artefact = open_artefact(model)
    file = artefact.file("int8")
    if size not in SIZES:
        raise ConfigError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
    if file is None:
        raise ConfigError(f"model {model} has no INT8 file; compile it with one")
    height, width = (n // artefact.multiple * artefact.multiple for n in SIZES[size])
    threads = threads or usable_cores()
    counted, plain = (
        openvino.load(file, artefact, height, width, 8, threads, profile=profile)
        for profile in (True, False)
    )
    frames = noisy_planes(artefact, height, width, count=4)
    sigma = np.full(artefact.sigmas, _NOISE_STD, np.float32)
    peaks = [_matrix_product(peak_side, int8, threads) for int8 in (True, False)]
    times: dict[str, list[float]] = {name: [] for name in ("step", "blocks", *"ab")}
    layers: dict[str, tuple[str, list[float]]] = {}
    for i in range(_WARMUP + steps):
        planes = frames[i % len(frames)]
        counted.step(planes, sigma)
        measured = {
            "step": time_ms(plain.step, planes, sigma),
            "blocks": time_ms(_through_blocks, artefact, planes),
            "a": peaks[0](),
            "b": peaks[1](),
        }
        if i < _WARMUP:
            continue
        for name, ms in measured.items():
            times[name].append(ms)
        for name, kind, kernel, ms in counted.layer_times():
            layers.setdefault(name, (group_of(kind, kernel), []))[1].append(ms)
    medians = {name: statistics.median(values) for name, values in times.items()}
    gmac = peak_side**3 / 1e9
    return LayerProfile(
        model=artefact.name,
        height=height,
        width=width,
        threads=threads,
        step_ms=medians["step"],
        blocks_ms=medians["blocks"],
        layers={n: (g, statistics.median(ms)) for n, (g, ms) in layers.items()},
        conv_gmac=artefact.manifest["kmac_per_px"] * height * width / 1e6,
        peak_int8=gmac / medians["a"] * 1e3,
        peak_fp32=gmac / medians["b"] * 1e3,
    )


def noisy_planes(
    artefact: Artefact, height: int, width: int, count: int
) -> list[list[np.ndarray]]:
    """Pictures of waves with noise, as 8-bit planes of the model's layout."""
    rng = np.random.default_rng(0)
    blocks = np.empty(artefact.state_shapes(height, width)[0][1:], np.uint8)
    pictures = []
    for _ in range(count):
        planes = []
        for shape in plane_shapes_of(blocks):
            rows, columns = np.indices(shape, sparse=True)
            clean = 0.5 + 0.25 * np.sin(rows / 50) * np.cos(columns / 70)
            noisy = clean + rng.normal(0, _NOISE_STD, shape)
            planes.append((255 * noisy).round().clip(0, 255).astype(np.uint8))
        pictures.append(planes)
    return pictures


def _through_blocks(artefact: Artefact, planes: list[np.ndarray]) -> None:
    """What a step does in numpy."""
    height, width = planes[0].shape
    blocks = np.empty(artefact.state_shapes(height, width)[0][1:], np.uint8)
    gather_blocks(planes, blocks)
    scatter_blocks(blocks, [np.empty_like(plane) for plane in planes])


def _matrix_product(side: int, int8: bool, threads: int) -> Callable[[], float]:
    """A product of square matrices; calling it gives the milliseconds of its layer."""
    from openvino import opset13 as ops

    rng = np.random.default_rng(0)
    left = ops.parameter([side, side], np.float32)
    rounded = left
    if int8:
        bounds = [np.float32(bound) for bound in (0, 1, 0, 1)]
        rounded = ops.fake_quantize(left, *bounds, 256)
        right = ops.constant(rng.integers(-127, 128, (side, side)).astype(np.int8))
        step = ops.constant(np.full((side, 1), 0.01, np.float32))
        right = ops.multiply(ops.convert(right, np.float32), step)
    else:
        right = ops.constant(rng.random((side, side), np.float32))
    product = ops.matmul(rounded, right, False, True)
    model: Any = ov.Model([product], [left])  # pyright: ignore[reportGeneralTypeIssues]
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": "YES",
        "INFERENCE_NUM_THREADS": str(threads),
    }
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    request.set_input_tensor(ov.Tensor(rng.random((side, side), np.float32)))

    def run() -> float:
        request.infer()
        # The product by far; the others round and copy its input.
        times = [layer.real_time for layer in request.get_profiling_info()]
        return max(times).total_seconds() * 1e3

    return run


def time_ms(call: Callable[..., object], *args: object) -> float:
    """Milliseconds of one call."""
    begin = time.perf_counter()
    call(*args)
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", default="720p", choices=SIZES)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--longest", type=int, default=0, help="layers to list")
    told = parser.parse_args()
    profile = profile_layers(told.model, told.size, told.steps, told.threads)
    print(f"{cpu_name()}, OpenVINO {ov.__version__}\n")
    print(profile.table(told.longest))


if __name__ == "__main__":
    main()
