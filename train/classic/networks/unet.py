"""The U-Net: an autoencoder whose decoder also sees the encoder's features."""

import torch
from torch import Tensor, nn

from .network import ImageNetwork, convolution


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(convolution(inputs, outputs), nn.ReLU()),
        *(convolution(outputs, outputs), nn.ReLU()),
    )


class UNet(ImageNetwork):
    """Four scales with skip connections; it predicts the noise.

    Ronneberger et al., "U-Net: convolutional networks for biomedical image
    segmentation", MICCAI 2015; smaller, padded, and with the noise level as an input
    channel, as in Zhang et al., "Plug-and-play image restoration with deep denoiser
    prior" (DRUNet), PAMI 2021.
    """

    multiple = 8
    takes_sigma = True

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.down = nn.ModuleList(
            _twice(before, after)
            for before, after in zip([channels + 1, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(below, here, 2, 2)
            for here, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.up = nn.ModuleList(_twice(2 * here, here) for here in widths[-2::-1])
        self.tail = convolution(width, channels)

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        x = torch.cat([noisy, noise_std.expand(-1, 1, *noisy.shape[-2:])], 1)
        skips = []
        for down in self.down[:-1]:
            skips.append(down(x))
            x = self.pool(skips[-1])
        x = self.down[-1](x)
        for grow, up, skip in zip(self.grow, self.up, reversed(skips), strict=True):
            x = up(torch.cat([grow(x), skip], 1))
        return noisy - self.tail(x)
