"""Losses of the textbook networks, all means over samples."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from ..loss import charbonnier_loss


def _charbonnier(denoised: Tensor, clean: Tensor) -> Tensor:
    every_channel = denoised.shape[-1]
    return charbonnier_loss(denoised, clean, every_channel, 0.0)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy,
    "l1": F.l1_loss,
    "charbonnier": _charbonnier,
}
"""Losses by their names in ``--loss``. With ``bce`` networks end in a sigmoid."""
