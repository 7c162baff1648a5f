"""PyTorch, straight from the checkpoint: the reference for the other backends."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamdenoise.errors import BackendUnavailableError
from streamdenoise.inference.backends.torch_device import TorchDeviceBackend
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.network.checkpoint import load_checkpoint
from streamdenoise.network.half_precision import convolve_in_half
from streamdenoise.network.model import DeployedGraph


def load(request: StepRequest, device: str = "cpu") -> TorchDeviceBackend:
    """Build the network from its checkpoint, channels last.

    Args:
        request: in FP32, or FP16 for GPUs.
        device: ``cpu`` or ``cuda``; on CUDA a step is a CUDA graph.

    Raises:
        BackendUnavailableError: this PyTorch cannot use a GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailableError(
            f"{request.backend} needs PyTorch with CUDA; install it as "
            "described on pytorch.org, or choose --backend openvino"
        )
    net, _ = load_checkpoint(request.file)
    if request.precision == "fp16":
        convolve_in_half(net)
    # torch's type stubs lack this overload of `to`.
    net.to(device, memory_format=torch.channels_last)  # pyright: ignore
    if device == "cuda" and request.precision == "fp32":
        # By default, convolutions would keep 10 bits of the mantissa (TF32).
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    graph: Any = DeployedGraph(net).to(device).eval()
    if request.threads is not None:
        torch.set_num_threads(request.threads)

    def launch(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        for output, value in zip(outputs, graph(*inputs), strict=True):
            output.copy_(value)

    dtypes = [tensor.dtype for tensor in graph.initial_state(8, 8)]
    return TorchDeviceBackend(request, launch, device, dtypes)
