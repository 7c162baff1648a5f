"""FFDNet: four sub-images and a map of the noise level."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import ImageNetwork, convolution, start_like_he


class FfdNet(ImageNetwork):
    """15 convolutions for gray, 12 for color, at half the size.

    Zhang et al., "FFDNet: toward a fast and flexible solution for CNN-based image
    denoising", TIP 2018, section III and figure 1; 64 channels for gray there, 96 for
    color. As in the published weights, there is no batch normalization; they merged it
    into the convolutions.
    """

    takes_sigma = True
    default_width = 64

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        count = 15 if channels == 1 else 12
        layers: list[nn.Module] = [convolution(4 * channels + 1, width), nn.ReLU()]
        for _ in range(count - 2):
            layers += [convolution(width, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, convolution(width, 4 * channels))
        start_like_he(self)

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        x = F.pixel_unshuffle(noisy, 2)
        level = noise_std.expand(-1, 1, *x.shape[-2:])
        return F.pixel_shuffle(self.layers(torch.cat([x, level], 1)), 2)
