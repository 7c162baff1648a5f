"""Residual blocks in a row."""

from torch import Tensor, nn

from .network import ImageNetwork, convolution


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.relu(self.first(x)))


class ResNet(ImageNetwork):
    """Five residual blocks without normalization, and a skip over all of them.

    He et al., "Deep residual learning for image recognition", CVPR 2016; without batch
    normalization as in Lim et al., "Enhanced deep residual networks for single image
    super-resolution" (EDSR), CVPR workshops 2017.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.head = convolution(channels, width)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(5)))
        self.tail = convolution(width, channels)

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        x = self.head(noisy)
        return noisy - self.tail(x + self.blocks(x))
