"""Quantization-aware training: convolutions round while they learn, as INT8 will.

Weights are rounded to 8 bits for each output channel and inputs to 8 bits for a whole
tensor; gradients pass as if nothing were rounded (Jacob et al., "Quantization and
training of neural networks for efficient integer-arithmetic-only inference", 2018).
Ranges are those of the current batch, so no state is kept between steps.
"""

import torch
from torch import Tensor, nn

from streamdenoise.network.model import RecurrentDenoiser


class RoundedConv(nn.Conv2d):
    """A convolution that computes about what its INT8 version would.

    Under bfloat16 autocast its rounded inputs lose up to half a step more.
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(
            round_inputs(input), round_weight(self.weight), self.bias
        )


def round_inputs(x: Tensor) -> Tensor:
    """Round to 256 even steps between the least and the greatest value, and zero."""
    x = x.float()
    low, high = x.detach().aminmax()
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    step = ((high - low) / 255).clamp(min=torch.finfo(torch.float32).tiny)
    zero = (-low / step).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, step, zero, 0, 255)


def round_weight(weight: Tensor) -> Tensor:
    """Round ``(outputs, inputs, ...)`` to 255 even steps, symmetric, by output."""
    weight = weight.float()
    step = weight.detach().abs().flatten(1).amax(1) / 127
    step = step.clamp(min=torch.finfo(torch.float32).tiny)
    zero = torch.zeros_like(step, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, step, zero, 0, -127, 127)


def round_while_learning(net: RecurrentDenoiser) -> None:
    """Make the convolutions that INT8 artifacts round do so in training, in place.

    The parameters keep their names and shapes, so a plain network can load them.
    """
    # These stay in float: see `streamdenoise.export.quantize`.
    precise = {net.head_mean, net.noise_map.look if net.noise_map else None}
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module not in precise:
            module.__class__ = RoundedConv
