"""The memory layout in which convolutions are fastest."""

from typing import TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)


def channels_last(net: Net, device: torch.device | str = "cpu") -> Net:
    """Move a network to a device and store its filters with channels last, in place."""
    # PyTorch's type stubs lack `memory_format`.
    return net.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
