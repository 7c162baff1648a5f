"""Matrix products and copies in each runtime, to time the limits of a machine with."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Kernel:
    """Work to be timed."""

    run: Callable[[], object]
    """Does it once, and returns when it is done."""
    amount: float
    """Operations or bytes of one run."""


def openvino_request(side: int, threads: int, precision: str) -> tuple[Any, float]:
    """Matrix products as 1x1 convolutions, for which OpenVINO has its fastest code.

    A `MatMul` of constants runs at two thirds of their speed.

    Args:
        side: Number of pixels, and of channels in and out.
        threads: CPU threads.
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
    # Several in a row, so that the cast of the first one's input hardly counts.
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
        "INFERENCE_PRECISION_HINT": "f32",  # some chips would use bfloat16
        "INFERENCE_NUM_THREADS": str(threads),
        "PERF_COUNT": "YES",
    }
    compiled = ov.Core().compile_model(graph, "CPU", config)
    request = compiled.create_infer_request()
    values = 255 * rng.random((1, 1, side, side), np.float32)
    request.set_input_tensor(ov.Tensor(values))
    return request, 2.0 * products * side**3


def openvino_product(side: int, threads: int, precision: str) -> Kernel:
    """The request of `openvino_request`, to be timed."""
    request, flops = openvino_request(side, threads, precision)
    return Kernel(request.infer, flops)


ONNX_PRODUCT = (
    b'\x08\n:=\n\x11\n\x01a\n\x01b\x12\x01y"\x06MatMul\x12\x07productZ\t\n\x01a\x12\x04'
    b"\n\x02\x08\x01Z\t\n\x01b\x12\x04\n\x02\x08\x01b\t\n\x01y\x12\x04\n\x02\x08\x01"
    b"B\x04\n\x00\x10\x12"
)
"""An ONNX file, y = MatMul(a, b) in float32 of any shape: the package that writes such
files does not come with ONNX Runtime."""


def onnxruntime_product(side: int, threads: int) -> Kernel:
    """FP32 matrix product in ONNX Runtime on the CPU."""
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


def torch_product(side: int, threads: int) -> Kernel:
    """FP32 matrix product in PyTorch on the CPU."""
    import torch

    torch.set_num_threads(threads)
    # `mm` belongs to another library, which is half as fast on some chips.
    last = torch.channels_last
    pixels = torch.rand(1, side, 1, side).to(memory_format=last)
    weights = torch.rand(side, side, 1, 1).to(memory_format=last)

    @torch.inference_mode()
    def convolve() -> None:
        torch.conv2d(pixels, weights)

    return Kernel(convolve, 2.0 * side**3)


def cuda_product(side: int, threads: int, precision: str = "fp32") -> Kernel:
    """Matrix product in PyTorch on a CUDA device, in FP32 or FP16.

    TF32 stays off, so that FP32 engines that use it may exceed this limit. `threads`
    makes no difference.
    """
    import torch

    dtype = torch.float16 if precision == "fp16" else torch.float32
    left, right = (
        torch.rand((side, side), device="cuda", dtype=dtype) for _ in range(2)
    )

    def multiply() -> None:
        torch.mm(left, right)
        torch.cuda.synchronize()

    return Kernel(multiply, 2.0 * side**3)


def host_copy(num_bytes: int, threads: int) -> Kernel:
    """Copy between two arrays in main memory, a part for each thread."""
    source, target = np.ones(num_bytes, np.uint8), np.zeros(num_bytes, np.uint8)
    parts = [np.array_split(array, threads) for array in (target, source)]

    def copy() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(np.copyto, *parts))

    return Kernel(copy, 2.0 * num_bytes)


def cuda_copy(num_bytes: int, threads: int) -> Kernel:
    """Copy within the memory of a CUDA device; `threads` makes no difference."""
    import torch

    source = torch.ones(num_bytes, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    return Kernel(copy, 2.0 * num_bytes)
