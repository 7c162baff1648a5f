"""The measured limits of a machine, and what fraction of them a step reaches.

By the roofline model (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009)
a step takes at least as long as its arithmetic at the machine's peak rate, and as its
traffic at the peak bandwidth. Both peaks are measured here, in the runtime and the
precision of a backend: makers' figures hold for clocks and memory that a shared machine
does not have.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.registry import BACKENDS

BYTES_PER_WEIGHT = {"int8": 1, "fp16": 2, "fp32": 4}


@dataclass(frozen=True, slots=True)
class Peak:
    """What a machine reaches at best."""

    precision: str
    """Of the product: a key of `BYTES_PER_WEIGHT`."""
    device: str
    """``cpu`` or ``cuda``."""
    tflops: float
    """10^12 operations a second of a large matrix product; a MAC is two."""
    gb_per_s: float
    """10^9 bytes a second of a large copy, each byte read and written."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one step cannot do without."""

    flops: float
    """Two for each multiply-accumulate of the convolutions."""
    bytes: int
    """Compulsory traffic, see `work_of_step`."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How near to the limits a step comes."""

    tflops: float
    gb_per_s: float
    fraction_of_compute: float
    fraction_of_bandwidth: float
    """May pass 1, where caches hold what goes from step to step."""

    @property
    def fraction_of_roofline(self) -> float:
        """Shortest possible time over the measured one, by the tighter limit."""
        return max(self.fraction_of_compute, self.fraction_of_bandwidth)

    @property
    def bound_by(self) -> str:
        """The tighter limit: ``compute`` or ``bandwidth``."""
        compute = self.fraction_of_compute >= self.fraction_of_bandwidth
        return "compute" if compute else "bandwidth"


@dataclass(frozen=True, slots=True)
class Kernel:
    """Something to be timed."""

    run: Callable[[], object]
    """Does it once and returns when it is done."""
    amount: float
    """Operations or bytes of one run."""


@dataclass(frozen=True, slots=True)
class PeakEntry:
    """A row of the table: how the limits of a backend are measured."""

    precision: str
    device: str
    product: Callable[[int, int], Kernel]
    """Matrix product: ``product(side, threads)``, of square matrices."""
    copy: Callable[[int, int], Kernel]
    """Copy: ``copy(num_bytes, threads)``."""
    side: int = 1536
    """Enough to keep all cores busy for 10 ms or so: long runs are disturbed more."""
    copy_bytes: int = 1 << 28
    """Many times what caches hold."""


def work_of_step(
    kmac_per_px: float,
    params: int,
    precision: str,
    planes: Sequence[np.ndarray],
    held_bytes: int,
) -> Work:
    """What one step must compute and move, however it is programmed.

    Its traffic is the pixels in and out, the state in and out, and the weights once,
    in the precision of the products. What goes to memory between layers is not in it:
    a perfect program would keep that in caches.

    Args:
        kmac_per_px: thousands of multiply-accumulates for each luma pixel.
        params: number of weights.
        precision: a key of `BYTES_PER_WEIGHT`.
        planes: of one frame, as the step takes them; luma first.
        held_bytes: what the backend holds of the past, see `state_bytes`.
    """
    moved = sum(plane.nbytes for plane in planes) + held_bytes
    return Work(
        flops=2e3 * kmac_per_px * planes[0].size,
        bytes=2 * moved + params * BYTES_PER_WEIGHT[precision],
    )


def state_bytes(artifact: Artifact, height: int, width: int, precision: str) -> int:
    """What a backend holds of one stream's past, in bytes.

    `Backend.state` would not tell: it gives all of it in float32. Engines in FP16 hold
    the features that their convolutions make as they make them
    (`streamdenoise.network.half_precision`); the rest is float32 in every precision.

    Args:
        artifact: the model.
        height: luma height in pixels.
        width: the same.
        precision: a key of `BYTES_PER_WEIGHT`.
    """
    shapes = artifact.state_shapes(height, width)
    return sum(
        (2 if precision == "fp16" and name.startswith("hidden") else 4) * prod(shape)
        for name, shape in zip(artifact.state_names, shapes, strict=True)
    )


def reached(work: Work, seconds: float, peak: Peak) -> Reached:
    """How near a step that took `seconds` comes to the limits."""
    tflops, gb_per_s = work.flops / seconds / 1e12, work.bytes / seconds / 1e9
    return Reached(tflops, gb_per_s, tflops / peak.tflops, gb_per_s / peak.gb_per_s)


class PeakMeter:
    """Measures the limits of this machine for some backends, a turn at a time.

    The best run of all turns counts, not the median: a limit that others on the machine
    pushed down would flatter the step. So turns should lie between those of the steps,
    and be several. Backends of one device share its copy.
    """

    def __init__(
        self,
        backends: Sequence[str],
        threads: int,
        side: int | None = None,
        copy_bytes: int | None = None,
    ) -> None:
        """Compile the products and allocate the copies.

        Args:
            backends: keys of `PEAKS`, whose runtimes must be installed.
            threads: of the CPU; on another device they make no difference.
            side: of the square matrices; None takes what suits the device.
            copy_bytes: size of the copy, the same.
        """
        self._products: dict[str, _Timer] = {}
        self._copies: dict[str, _Timer] = {}
        for name in backends:
            entry = PEAKS[name]
            self._products[name] = _Timer(entry.product(side or entry.side, threads))
            if entry.device not in self._copies:
                copy = entry.copy(copy_bytes or entry.copy_bytes, threads)
                self._copies[entry.device] = _Timer(copy)

    def turn(self, backend: str, seconds: float) -> None:
        """Repeat product and copy for so long each, three times at least."""
        self._products[backend].turn(seconds)
        self._copies[PEAKS[backend].device].turn(seconds)

    def peak(self, backend: str) -> Peak:
        """What all turns found, of which there must have been one."""
        entry = PEAKS[backend]
        return Peak(
            entry.precision,
            entry.device,
            self._products[backend].rate / 1e12,
            self._copies[entry.device].rate / 1e9,
        )


def measure_peak(
    backend: str,
    threads: int,
    side: int | None = None,
    copy_bytes: int | None = None,
    seconds: float = 0.5,
) -> Peak:
    """Measure the limits of this machine for one backend, in one turn.

    See `PeakMeter` for the arguments.
    """
    meter = PeakMeter([backend], threads, side, copy_bytes)
    meter.turn(backend, seconds)
    return meter.peak(backend)


class _Timer:
    """The fastest run of a kernel so far."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._best_s = float("inf")

    def turn(self, seconds: float) -> None:
        self._kernel.run()  # the first one allocates, or wakes threads
        end, runs = time.perf_counter() + seconds, 0
        while runs < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            self._kernel.run()
            self._best_s = min(self._best_s, time.perf_counter() - start)
            runs += 1

    @property
    def rate(self) -> float:
        """Operations or bytes a second."""
        return self._kernel.amount / self._best_s


def openvino_product(side: int, threads: int, precision: str) -> tuple[Any, float]:
    """Matrix products as 1x1 convolutions, which take OpenVINO's fastest 8-bit code.

    A `MatMul` of constants runs at two thirds of their speed.

    Args:
        side: pixels, and channels in and out.
        threads: of the CPU.
        precision: ``int8`` or ``fp32``.

    Returns:
        The infer request, with profiling on, and its operations.
    """
    # Imported there, OpenVINO does not report its use.
    from streamdenoise.inference.backends.openvino import ov

    ops: Any = ov.opset13
    rng = np.random.default_rng(0)
    pixels = ops.parameter([1, 1, side, side], np.float32)
    x: Any = ops.transpose(pixels, [0, 3, 1, 2])
    # Several in a row, so that the cast of what enters the first hardly counts.
    products = 4 if precision == "int8" else 1
    for _ in range(products):
        weights: Any = rng.uniform(-1, 1, (side, side, 1, 1)).astype(np.float32)
        if precision == "int8":
            x = ops.fake_quantize(x, 0.0, 255.0, 0.0, 255.0, 256)
            weights = ops.fake_quantize(weights, -1.0, 1.0, -1.0, 1.0, 255)
        x = ops.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    # The type stubs have two classes of this name.
    graph = ov.Model(  # pyright: ignore[reportGeneralTypeIssues]
        [ops.transpose(x, [0, 2, 3, 1])], [pixels]
    )
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # or it would be bfloat16 on some chips
        "INFERENCE_NUM_THREADS": str(threads),
        "PERF_COUNT": "YES",
    }
    compiled = ov.Core().compile_model(graph, "CPU", config)
    request = compiled.create_infer_request()
    values = 255 * rng.random((1, 1, side, side), np.float32)
    request.set_input_tensor(ov.Tensor(values))
    return request, 2.0 * products * side**3


def _openvino_int8(side: int, threads: int) -> Kernel:
    request, flops = openvino_product(side, threads, "int8")
    return Kernel(request.infer, flops)


def _openvino_fp32(side: int, threads: int) -> Kernel:
    request, flops = openvino_product(side, threads, "fp32")
    return Kernel(request.infer, flops)


ONNX_PRODUCT = (
    b'\x08\n:=\n\x11\n\x01a\n\x01b\x12\x01y"\x06MatMul\x12\x07productZ\t\n\x01a\x12\x04'
    b"\n\x02\x08\x01Z\t\n\x01b\x12\x04\n\x02\x08\x01b\t\n\x01y\x12\x04\n\x02\x08\x01"
    b"B\x04\n\x00\x10\x12"
)
"""An ONNX file, y = MatMul(a, b) in float32 of any shape: the package that writes such
files does not come with ONNX Runtime."""


def _onnxruntime_fp32(side: int, threads: int) -> Kernel:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(
        ONNX_PRODUCT, options, providers=["CPUExecutionProvider"]
    )
    matrix = np.random.default_rng(0).random((side, side), np.float32)
    feed = {"a": matrix, "b": matrix}
    return Kernel(lambda: session.run(None, feed), 2.0 * side**3)


def torch_product(
    side: int, threads: int, device: str = "cpu", precision: str = "fp32"
) -> Kernel:
    """Matrix product in PyTorch: FP32 on the CPU, FP32 or FP16 on a CUDA device."""
    import torch

    if device != "cpu":
        dtype = torch.float16 if precision == "fp16" else torch.float32
        left, right = (
            torch.rand((side, side), device=device, dtype=dtype) for _ in range(2)
        )

        def multiply() -> None:
            torch.mm(left, right)
            torch.cuda.synchronize(device)

        return Kernel(multiply, 2.0 * side**3)
    torch.set_num_threads(threads)
    # Not `mm`: that is another library's, half as fast on some chips.
    last = torch.channels_last
    pixels = torch.rand(1, side, 1, side).to(memory_format=last)
    weights = torch.rand(side, side, 1, 1).to(memory_format=last)

    @torch.inference_mode()
    def convolve() -> None:
        torch.conv2d(pixels, weights)

    return Kernel(convolve, 2.0 * side**3)


def host_copy(num_bytes: int, threads: int) -> Kernel:
    """Copy between two arrays in main memory, a part for each thread."""
    from concurrent.futures import ThreadPoolExecutor

    source, target = np.ones(num_bytes, np.uint8), np.zeros(num_bytes, np.uint8)
    parts = [np.array_split(array, threads) for array in (target, source)]

    def copy() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(np.copyto, *parts))

    return Kernel(copy, 2.0 * num_bytes)


def torch_copy(num_bytes: int, threads: int, device: str = "cuda") -> Kernel:
    """Copy within the memory of a CUDA device."""
    import torch

    source = torch.ones(num_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize(device)

    return Kernel(copy, 2.0 * num_bytes)


def _on_cuda(precision: str) -> PeakEntry:
    """Larger matrices; TF32 stays off, so that FP32 engines that use it may pass 1."""
    product = partial(torch_product, device="cuda", precision=precision)
    return PeakEntry(
        *(precision, "cuda", product, torch_copy), side=8192, copy_bytes=1 << 30
    )


PEAKS: dict[str, PeakEntry] = {
    "openvino": PeakEntry("int8", "cpu", _openvino_int8, host_copy),
    "openvino-fp32": PeakEntry("fp32", "cpu", _openvino_fp32, host_copy),
    "onnxruntime": PeakEntry("fp32", "cpu", _onnxruntime_fp32, host_copy),
    "eager": PeakEntry("fp32", "cpu", torch_product, host_copy),
    **{
        name: _on_cuda(entry.precision)
        for name, entry in BACKENDS.items()
        if entry.needs_cuda
    },
}
"""A row for each backend whose limits can be measured; those of GPUs that only ONNX
Runtime reaches cannot."""
