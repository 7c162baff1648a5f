"""Four convolutions and a linear one: the first network of many courses."""

from itertools import pairwise

from torch import Tensor, nn

from .network import ImageNetwork, convolution


class Cnn4Dn(ImageNetwork):
    """3x3 convolutions of 8, 16, 8 and 4 channels with ReLU, then a linear one.

    These layers are known from courses, not from a paper. The first plain CNN for
    denoising was that of Jain and Seung, "Natural image denoising with convolutional
    networks", NIPS 2008.
    """

    default_width = 8

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, width, max(1, width // 2)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [convolution(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, convolution(widths[-1], channels))

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        return self.layers(noisy)
