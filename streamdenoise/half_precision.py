"""Half precision where it is harmless: in the convolutions, and the state they make."""

from torch import Tensor, nn

from streamdenoise.model import RecurrentDenoiser


class HalfConv(nn.Conv2d):
    """A convolution that takes anything and computes and answers in FP16."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.half())


def convolve_in_half(net: RecurrentDenoiser) -> None:
    """Turn a network's convolutions to FP16, in place.

    The running mean, its gain and the sum of picture and residual stay in FP32: steps
    of a 64th of a level would be rounded away (FP16 has 11 bits).
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = HalfConv
            module.half()
