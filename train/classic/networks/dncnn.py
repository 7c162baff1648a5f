"""DnCNN: residual learning and batch normalization."""

from torch import Tensor, nn

from .network import ImageNetwork, start_like_he


class DnCnn(ImageNetwork):
    """17 convolutions of 64 channels; it predicts the noise.

    Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image
    denoising", TIP 2017, section III and figure 1. Trained on a range of noise levels
    it is their blind DnCNN-B, with fewer layers.
    """

    default_width = 64
    layers_count = 17

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(self.layers_count - 2):
            layers += [
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))
        start_like_he(self)

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        return noisy - self.layers(noisy)
