"""Convolutions that have more branches in training, merged into one for use.

A 3x3 convolution, a 1x1 convolution and a scaled identity in parallel equal one 3x3
convolution, but learn differently (Ding et al., "RepVGG: Making VGG-style ConvNets
great again", 2021; here without batch normalization). All branches are linear in their
parameters, so the merged average of networks is the average of merged networks.
"""

from operator import attrgetter

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from streamdenoise.network.model import RecurrentDenoiser

from .channels_last import channels_last


class _Branches(nn.Module):
    """Adds a 1x1 and, where shapes allow, a scaled identity branch to a 3x3 weight.

    Both are zero at first: the network starts as the same function.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        outputs, inputs = conv.weight.shape[:2]
        self.point = nn.Parameter(torch.zeros(outputs, inputs))
        passes = outputs == inputs and conv.stride == (1, 1)
        self.scale = nn.Parameter(torch.zeros(outputs)) if passes else None

    def forward(self, weight: Tensor) -> Tensor:
        center = self.point
        if self.scale is not None:
            center = center + torch.diag(self.scale)
        return weight + F.pad(center[..., None, None], (1, 1, 1, 1))


def add_branches(net: RecurrentDenoiser) -> None:
    """Over-parameterize every 3x3 convolution of `net`, in place."""
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            parametrize.register_parametrization(module, "weight", _Branches(module))


def merged(net: RecurrentDenoiser) -> RecurrentDenoiser:
    """A copy of `net` with plain convolutions that computes the same.

    `parametrize.remove_parametrizations` cannot be used: it removes the weight from the
    class, which `net` shares with its copies.
    """
    device = next(net.parameters()).device
    plain = channels_last(RecurrentDenoiser(net.spec), device)
    with torch.no_grad():
        plain.load_state_dict({key: attrgetter(key)(net) for key in plain.state_dict()})
    return plain
