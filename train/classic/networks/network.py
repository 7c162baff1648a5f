"""The base of all textbook networks, which take images of any size."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ImageNetwork(nn.Module, ABC):
    """A denoiser of still images.

    Attributes:
        squashed: whether the output goes through a sigmoid, which binary cross entropy
            needs.
    """

    multiple = 4
    """Sides in `denoise` are multiples of this; `forward` pads and crops. At least 4:
    backends take blocks of 4x4 pixels, and pad as training does."""
    takes_sigma = False
    """Whether the noise level is an input."""
    default_width = 32
    """Channels inside, of which a network's other widths are multiples."""

    def __init__(self) -> None:
        super().__init__()
        self.squashed = False

    def forward(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        """Denoise images of any size.

        Args:
            noisy: ``(N, C, H, W)``, nominally in [0, 1].
            noise_std: ``(N, 1, 1, 1)`` in [0, 1]; not every network uses it.

        Returns:
            The same shape, not clipped.
        """
        height, width = noisy.shape[-2:]
        missing = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = F.pad(noisy, missing, mode="replicate") if any(missing) else noisy
        return self.whole(padded, noise_std)[..., :height, :width]

    def whole(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        """Denoise images whose sides are multiples of `multiple`."""
        denoised = self.denoise(noisy, noise_std)
        return torch.sigmoid(denoised) if self.squashed else denoised

    @abstractmethod
    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        """The network itself: as `whole`, before the sigmoid."""


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, or divides it by `stride`."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


def start_like_he(net: nn.Module) -> None:
    """Draw initial weights of convolutions for ReLU (He et al., ICCV 2015, eq. 10)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
