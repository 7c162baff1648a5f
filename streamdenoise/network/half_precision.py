"""Half precision where it is harmless: in the convolutions, and the state they make."""

from torch import Tensor, nn


class HalfConv(nn.Conv2d):
    """A convolution that takes anything and computes and answers in FP16."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.half())


class HalfTransposedConv(nn.ConvTranspose2d):
    """The same of a transposed convolution."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x.half(), output_size)


def convolve_in_half(net: nn.Module) -> None:
    """Turn a network's convolutions, and normalization behind them, to FP16, in place.

    The running mean, its gain and the sum of picture and residual stay in FP32: steps
    of a 64th of a level would be rounded away (FP16 has 11 bits).
    """
    in_half = {nn.Conv2d: HalfConv, nn.ConvTranspose2d: HalfTransposedConv}
    for module in net.modules():
        if type(module) in in_half:
            module.__class__ = in_half[type(module)]
            module.half()
        elif isinstance(module, nn.BatchNorm2d):
            module.half()
