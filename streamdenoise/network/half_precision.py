"""Half precision where it is harmless: in convolutions and the state they produce."""

from torch import Tensor, nn


class HalfConv(nn.Conv2d):
    """A convolution that computes in FP16, whatever the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.half())


class HalfTransposedConv(nn.ConvTranspose2d):
    """A transposed convolution that computes in FP16."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x.half(), output_size)


def convolve_in_half(net: nn.Module) -> None:
    """Convert a network's convolutions and batch normalization to FP16, in place.

    The running mean, its gain and the sum of frame and residual stay in FP32: FP16 has
    11 bits and would round away steps of a 64th of a level.
    """
    in_half = {nn.Conv2d: HalfConv, nn.ConvTranspose2d: HalfTransposedConv}
    for module in net.modules():
        if type(module) in in_half:
            module.__class__ = in_half[type(module)]
            module.half()
        elif isinstance(module, nn.BatchNorm2d):
            module.half()
