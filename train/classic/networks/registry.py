"""The table of networks, and measures of their cost."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from streamdenoise.errors import ConfigError
from streamdenoise.network.model import MAX_CHANNELS

from .autoencoder_mnist import AutoencoderMnist
from .autoencoder_pool import AutoencoderPool
from .autoencoder_strided import AutoencoderStrided
from .cnn4dn import Cnn4Dn
from .dncnn import DnCnn
from .ffdnet import FfdNet
from .nano import Nano
from .network import ImageNetwork
from .resnet import ResNet
from .unet import UNet

NETWORKS: dict[str, type[ImageNetwork]] = {
    "cnn4dn": Cnn4Dn,
    "autoencoder_pool": AutoencoderPool,
    "autoencoder_strided": AutoencoderStrided,
    "autoencoder_mnist": AutoencoderMnist,
    "unet": UNet,
    "resnet": ResNet,
    "dncnn": DnCnn,
    "ffdnet": FfdNet,
    "nano": Nano,
}
"""The networks of `streamdenoise train classic`; each takes 1 or 3 channels."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Everything that is needed to build a network; stored with its weights."""

    name: str
    """A key of `NETWORKS`."""
    channels: int = 1
    """1 for gray, 3 for color."""
    width: int = 0
    """Channels inside; 0 for `ImageNetwork.default_width`."""
    squashed: bool = False
    """See `ImageNetwork`."""

    def __post_init__(self) -> None:
        if self.name not in NETWORKS:
            raise ConfigError(
                f"there is no network {self.name!r}; choose from {', '.join(NETWORKS)}"
            )
        if self.channels not in (1, 3):
            raise ConfigError(f"channels must be 1 or 3, got {self.channels!r}")
        if type(self.width) is not int or not (
            self.width == 0 or 4 <= self.width <= MAX_CHANNELS
        ):
            raise ConfigError(
                f"width must be 4 to {MAX_CHANNELS} channels, got {self.width!r}"
            )

    @property
    def layout(self) -> str:
        """``gray`` or ``rgb``."""
        return "gray" if self.channels == 1 else "rgb"

    def build(self) -> ImageNetwork:
        """Build the network; PyTorch's global generator draws its weights."""
        kind = NETWORKS[self.name]
        net = kind(self.channels, self.width or kind.default_width)  # type: ignore[call-arg]
        net.squashed = self.squashed
        return net


def parameters(net: nn.Module) -> int:
    """Number of parameters of a network."""
    return sum(parameter.numel() for parameter in net.parameters())


@torch.no_grad()
def kmac_per_pixel(spec: NetworkSpec) -> float:
    """Thousands of multiply-accumulates of the convolutions per pixel."""
    net, side, macs = spec.build().eval(), 64, 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        nonlocal macs
        transposed = isinstance(layer, nn.ConvTranspose2d)
        positions = inputs[0] if transposed else out
        weights = layer.get_parameter("weight").numel()
        macs += weights * positions[0, 0].numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    net(torch.zeros(1, spec.channels, side, side), torch.full((1, 1, 1, 1), 0.1))
    return macs / side**2 / 1000


def receptive_field(spec: NetworkSpec, side: int = 96, draws: int = 3) -> int:
    """Side in pixels of the area that one output pixel depends on, at most `side`.

    Measured by the gradient of the middle pixel in networks with random weights.
    Several are drawn, because inactive units hide inputs behind them; narrow networks
    have the same receptive field.
    """
    middle = side // 2
    touched = torch.zeros(side, side, dtype=torch.bool)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(draws):
            net = replace(spec, width=16).build().eval()
            noisy = torch.rand(1, spec.channels, side, side, requires_grad=True)
            net(noisy, torch.full((1, 1, 1, 1), 0.1))[
                ..., middle, middle
            ].sum().backward()
            assert noisy.grad is not None
            touched |= (noisy.grad != 0).any(1)[0]
    places = touched.nonzero()
    return int((places.amax(0) - places.amin(0)).max()) + 1
