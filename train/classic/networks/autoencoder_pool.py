"""The autoencoder with pooling of course projects."""

from torch import Tensor, nn

from .network import ImageNetwork, convolution


class AutoencoderPool(ImageNetwork):
    """Five convolutions, LeakyReLU, two max-poolings and two up-samplings.

    After Masci et al., "Stacked convolutional auto-encoders for hierarchical feature
    extraction", ICANN 2011 (max-pooling makes the code sparse), trained on noisy input
    as in Vincent et al., "Extracting and composing robust features with denoising
    autoencoders", ICML 2008.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(convolution(channels, width), nn.LeakyReLU(0.1), nn.MaxPool2d(2)),
            *(convolution(width, 2 * width), nn.LeakyReLU(0.1), nn.MaxPool2d(2)),
            *(convolution(2 * width, 2 * width), nn.LeakyReLU(0.1)),
            nn.Upsample(scale_factor=2),
            *(convolution(2 * width, width), nn.LeakyReLU(0.1)),
            nn.Upsample(scale_factor=2),
            convolution(width, channels),
        )

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        return self.layers(noisy)
