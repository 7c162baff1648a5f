"""Shot and read noise of a sensor in linear light, and the camera's tone curve."""

from dataclasses import dataclass

import torch
from torch import Tensor

_GAMMA = 2.2
_MIDDLE_GRAY = 0.5**_GAMMA
_SLOPE = (1 / _GAMMA) * _MIDDLE_GRAY ** (1 / _GAMMA - 1)
"""Slope of the tone curve at middle gray, which turns linear-light std into display
std."""
_QUANTILES = 64


@dataclass(frozen=True, slots=True)
class Sensor:
    """Poisson-Gaussian noise in linear light (Foi et al., TIP 2008, eq. 3)."""

    level: float
    """Std at middle gray after the tone curve, in [0, 1]."""
    shot_share: float
    """Share of shot noise in the variance at middle gray, 0 to 1."""
    gains: Tensor
    """White-balance gains of R, G and B, ``(3,)``."""

    def show(self, clean: Tensor, noise: Tensor) -> Tensor:
        """What the camera shows.

        Args:
            clean: display values ``(T, 3, H, W)`` in [0, 1].
            noise: noise of std 1 that can be broadcast to `clean`.

        Returns:
            Display values in [0, 1], not rounded.
        """
        linear = clean.clamp(min=1e-4) ** _GAMMA
        shot = self.shot_share * linear / _MIDDLE_GRAY + (1 - self.shot_share)
        std = (self.gains[:, None, None] * shot).sqrt() * (self.level / _SLOPE)
        return (linear + noise * std).clamp(1e-6, 1) ** (1 / _GAMMA)

    def mean(self, clean: Tensor, noise_std: Tensor) -> Tensor:
        """What the camera shows in the mean of many frames: noise is brighter in the
        dark, where black clips it, and a little darker elsewhere, where the tone curve
        bends.

        Args:
            clean: multiples of 1/255, ``(T, 3, H, W)``.
            noise_std: std of the noise that is shown, ``(3,)`` or ``(1,)``.
        """
        steps = (torch.arange(_QUANTILES) + 0.5) / _QUANTILES
        normal = torch.special.ndtri(steps)[:, None, None, None]
        levels = torch.arange(256)[None, None, None] / 255
        noise = normal * noise_std[:, None, None]
        curves = self.show(levels.expand(1, 3, 1, -1), noise).mean(0)[:, 0]
        at = clean.mul(255).round().long()
        return torch.stack([curves[c][at[:, c]] for c in range(3)], 1)
