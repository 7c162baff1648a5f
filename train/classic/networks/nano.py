"""Our own network, for still images."""

from torch import Tensor

from streamdenoise.network.model import MULTIPLE, ModelSpec, RecurrentDenoiser
from streamdenoise.network.packing import pack, packed_noise_std, unpack

from .network import ImageNetwork


class Nano(ImageNetwork):
    """The first step of the video network, which has no past.

    It is `streamdenoise.network.model` with the widths of the shipped models. Its
    motion gate has nothing to do.
    """

    multiple = MULTIPLE
    takes_sigma = True
    default_width = 48

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        low = 5 * width // 3
        self.net = RecurrentDenoiser(
            ModelSpec(
                layout="rgb" if channels == 3 else "gray",
                width=width,
                width_low=low,
                hidden=min(16, width),
                hidden_low=min(32, low),
            )
        )

    def denoise(self, noisy: Tensor, noise_std: Tensor) -> Tensor:
        count, channels, height, width = noisy.shape
        state = self.net.initial_state(height, width, count, str(noisy.device))
        channel_std = packed_noise_std(
            noise_std[:, 0, 0].expand(count, channels), self.net.spec.layout
        )
        packed, _ = self.net(pack((noisy,)), channel_std, *state)
        return unpack(packed)[0]
