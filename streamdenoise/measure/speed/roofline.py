"""The measured limits of a machine, and what fraction of them a step reaches.

By the roofline model (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009)
a step takes at least as long as its arithmetic at the machine's peak rate, and as its
traffic at the peak bandwidth. Both peaks are measured here, in the runtime and the
precision of a backend: data sheets assume clocks and memory that a shared machine does
not have.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.backends.kernels import (
    Kernel,
    cuda_copy,
    cuda_product,
    host_copy,
    onnxruntime_product,
    openvino_product,
    torch_product,
)
from streamdenoise.inference.registry import BACKENDS

BYTES_PER_WEIGHT = {"int8": 1, "fp16": 2, "fp32": 4}


@dataclass(frozen=True, slots=True)
class Peak:
    """The limits of a machine."""

    precision: str
    """Precision of the product: a key of `BYTES_PER_WEIGHT`."""
    device: str
    """``cpu`` or ``cuda``."""
    tflops: float
    """10^12 operations per second of a large matrix product; a MAC is two."""
    gb_per_s: float
    """10^9 bytes per second of a large copy, each byte read and written."""


@dataclass(frozen=True, slots=True)
class Work:
    """The least work of one step."""

    flops: float
    """Two for each multiply-accumulate of the convolutions."""
    bytes: int
    """Compulsory traffic, see `work_of_step`."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The speed of a step as fractions of the limits."""

    tflops: float
    gb_per_s: float
    fraction_of_compute: float
    fraction_of_bandwidth: float
    """May exceed 1 where caches hold the state between steps."""

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
class PeakEntry:
    """A row of the table: how the limits of a backend are measured."""

    precision: str
    device: str
    product: Callable[[int, int], Kernel]
    """Matrix product: ``product(side, threads)``, of square matrices."""
    copy: Callable[[int, int], Kernel]
    """Copy: ``copy(num_bytes, threads)``."""
    side: int = 1536
    """Keeps all cores busy for about 10 ms; longer runs are disturbed more."""
    copy_bytes: int = 1 << 28
    """Many times the size of caches."""


def work_of_step(
    kmac_per_px: float,
    params: int,
    precision: str,
    planes: Sequence[np.ndarray],
    held_bytes: int,
) -> Work:
    """The arithmetic and traffic that no implementation of a step can avoid.

    Its traffic is the pixels in and out, the state in and out, and the weights once,
    in the precision of the products. Traffic between layers does not count: a perfect
    program would keep it in caches.

    Args:
        kmac_per_px: Thousands of multiply-accumulates for each luma pixel.
        params: Number of weights.
        precision: A key of `BYTES_PER_WEIGHT`.
        planes: The planes of one frame, as the step takes them; luma first.
        held_bytes: Size of the state, see `state_bytes`.
    """
    moved = sum(plane.nbytes for plane in planes) + held_bytes
    return Work(
        flops=2e3 * kmac_per_px * planes[0].size,
        bytes=2 * moved + params * BYTES_PER_WEIGHT[precision],
    )


def state_bytes(artifact: Artifact, height: int, width: int, precision: str) -> int:
    """Size of the state that a backend holds for one stream, in bytes.

    `Backend.state` does not show it: it converts everything to float32. FP16 engines
    hold features in FP16 (`streamdenoise.network.half_precision`); the rest is float32
    in every precision.

    Args:
        artifact: The model.
        height: Luma height in pixels.
        width: Luma width in pixels.
        precision: A key of `BYTES_PER_WEIGHT`.
    """
    shapes = artifact.state_shapes(height, width)
    return sum(
        (2 if precision == "fp16" and name.startswith("hidden") else 4) * prod(shape)
        for name, shape in zip(artifact.state_names, shapes, strict=True)
    )


def reached(work: Work, seconds: float, peak: Peak) -> Reached:
    """Compare a step that took `seconds` with the limits."""
    tflops, gb_per_s = work.flops / seconds / 1e12, work.bytes / seconds / 1e9
    return Reached(tflops, gb_per_s, tflops / peak.tflops, gb_per_s / peak.gb_per_s)


class PeakMeter:
    """Measures the limits of this machine for some backends, a turn at a time.

    The best run of all turns counts, not the median: a limit lowered by other work on
    the machine would flatter the step. So there should be several turns, between those
    of the steps. Backends of one device share its copy.
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
            backends: Keys of `PEAKS`, whose runtimes must be installed.
            threads: CPU threads; on another device they make no difference.
            side: Side of the square matrices; None suits the device.
            copy_bytes: Size of the copy; None suits the device.
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
        """Repeat product and copy for `seconds` each, at least three times."""
        self._products[backend].turn(seconds)
        self._copies[PEAKS[backend].device].turn(seconds)

    def peak(self, backend: str) -> Peak:
        """The best of all turns; there must have been one."""
        entry = PEAKS[backend]
        return Peak(
            entry.precision,
            entry.device,
            self._products[backend].rate / 1e12,
            self._copies[entry.device].rate / 1e9,
        )


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
        """Operations or bytes per second."""
        return self._kernel.amount / self._best_s


def _on_cuda(precision: str) -> PeakEntry:
    """Larger matrices and copies for a GPU."""
    return PeakEntry(
        precision=precision,
        device="cuda",
        product=partial(cuda_product, precision=precision),
        copy=cuda_copy,
        side=8192,
        copy_bytes=1 << 30,
    )


PEAKS: dict[str, PeakEntry] = {
    "openvino": PeakEntry(
        "int8", "cpu", partial(openvino_product, precision="int8"), host_copy
    ),
    "openvino-fp32": PeakEntry(
        "fp32", "cpu", partial(openvino_product, precision="fp32"), host_copy
    ),
    "onnxruntime": PeakEntry("fp32", "cpu", onnxruntime_product, host_copy),
    "eager": PeakEntry("fp32", "cpu", torch_product, host_copy),
    **{
        name: _on_cuda(entry.precision)
        for name, entry in BACKENDS.items()
        if entry.needs_cuda
    },
}
"""A row for each backend whose limits can be measured. For devices that only ONNX
Runtime or OpenVINO reaches, they cannot."""
