"""The denoising autoencoder of the digit tutorials."""

from torch import Tensor, nn

from .network import ImageNetwork, convolution


class AutoencoderMnist(ImageNetwork):
    """32 channels throughout, two max-poolings, two up-samplings, ReLU.

    Chollet, "Building autoencoders in Keras", The Keras Blog, 2016, section
    "Application to image denoising": MNIST with noise of std 0.5 clipped to [0, 1].
    There the output is a sigmoid and the loss binary cross entropy, as here with
    ``--loss bce``.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(convolution(channels, width), nn.ReLU(), nn.MaxPool2d(2)),
            *(convolution(width, width), nn.ReLU(), nn.MaxPool2d(2)),
            *(convolution(width, width), nn.ReLU(), nn.Upsample(scale_factor=2)),
            *(convolution(width, width), nn.ReLU(), nn.Upsample(scale_factor=2)),
            convolution(width, channels),
        )

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        return self.layers(noisy)
