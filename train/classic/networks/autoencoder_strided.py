"""The autoencoder without pooling: strides go down, transposed convolutions go up."""

from itertools import pairwise

from torch import Tensor, nn

from .network import ImageNetwork, convolution


class AutoencoderStrided(ImageNetwork):
    """Strided encoder of 32, 64 and 128 channels, transposed decoder of 128, 64, 32.

    After Springenberg et al., "Striving for simplicity: the all convolutional net",
    ICLR 2015 workshop (strides in place of pooling), and Zeiler et al.,
    "Deconvolutional networks", CVPR 2010. Kernels of 4 by strides of 2
    leave no checkerboard.
    """

    multiple = 8

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([channels, width, 2 * width, 4 * width]):
            layers += [convolution(before, after, stride=2), nn.ReLU()]
        for before, after in pairwise([4 * width, 4 * width, 2 * width, width]):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, convolution(width, channels))

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        return self.layers(noisy)
