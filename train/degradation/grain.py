"""Spectra and patterns of noise."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .draws import chance, normal, uniform

_RADIUS = 3
_PATTERNED = 0.08
_HOT = 0.05
_HOT_SHARE = 2e-4


def smear(noise: Tensor, generator: torch.Generator) -> Tensor:
    """Turn white noise ``(T, C, H, W)`` into a mixture of fine and coarse grain.

    The fine grain is blurred by a Gaussian, which is much wider than high in some
    clips, as on tape, and it may be weak; coarse grain has 1.5 to 6 pixels. The power
    stays 1. In half of the clips color noise is smeared more than luma noise, up to
    blotches of 11 pixels, and weakened, as in cameras.
    """
    height = uniform(generator, 0.25, 1.0)
    width = uniform(generator, 1.0, 2.0) if chance(generator, 0.08) else height
    fine = _correlate(noise, height, width)
    weights = [1.0, *(uniform(generator, 0, 1.2) ** 2 for _ in range(2))]
    if chance(generator, 0.4):
        # Enlarged or filtered footage has hardly any fine grain.
        weights[0] = uniform(generator, 0, 0.7) ** 2
    mixed = weights[0] * fine
    for least, weight in zip((1.5, 3.0), weights[1:], strict=True):
        size = uniform(generator, least, 2 * least)
        mixed = mixed + weight * _grain(noise.shape, size, generator)
    mixed = mixed / sum(w * w for w in weights) ** 0.5
    if noise.shape[1] == 1 or chance(generator, 0.5):
        return mixed
    gray = mixed.mean(1, keepdim=True)
    color = mixed - gray
    coarse = _grain(noise.shape, 2 ** uniform(generator, 1, 3.5), generator)
    coarse = coarse - coarse.mean(1, keepdim=True)
    share = uniform(generator, 0.3, 1.0)
    return gray + share * (color.std() / coarse.std()) * coarse


def add_patterns(noise: Tensor, generator: torch.Generator) -> Tensor:
    """Add what readout circuits add in some clips: lines, a fixed pattern, hot pixels.

    Args:
        noise: ``(T, C, H, W)`` of std 1.
        generator: source of all randomness.
    """
    length, channels, height, width = noise.shape
    patterns = (
        (length, 1, height, 1),  # lines that flicker
        (1, 1, 1, width),  # columns that stay
        (1, channels, height, width),
    )
    for shape in patterns:
        if chance(generator, _PATTERNED):
            share = uniform(generator, 0.05, 0.4)
            noise = noise + share * normal(shape, generator)
    if chance(generator, _HOT):
        hot = torch.rand((1, channels, height, width), generator=generator)
        noise = noise + (hot < _HOT_SHARE) * uniform(generator, 5, 30)
    return noise


def _grain(shape: Sequence[int], size: float, generator: torch.Generator) -> Tensor:
    """Grain of `size` pixels of std 1, in no fixed place on the grid of blocks.

    Args:
        shape: ``(T, C, H, W)``.
        size: of a grain, 1 or more.
        generator: source of all randomness.
    """
    cells = [math.ceil(n / size) + 2 for n in shape[-2:]]
    coarse = normal((*shape[:2], *cells), generator)
    whole = [round(n * size) for n in cells]
    coarse = F.interpolate(coarse, whole, mode="bicubic")
    top, left = (int(uniform(generator, 0, size)) for _ in "yx")
    coarse = coarse[..., top : top + shape[-2], left : left + shape[-1]]
    return coarse / coarse.std()


def _correlate(noise: Tensor, height: float, width: float) -> Tensor:
    """Blur noise by a Gaussian of these stds in pixels, keeping its power."""
    at = torch.arange(-_RADIUS, _RADIUS + 1)
    rows, columns = (torch.exp(-0.5 * (at / std) ** 2) for std in (height, width))
    kernel = rows[:, None] * columns[None, :]
    kernel = kernel / kernel.square().sum().sqrt()
    channels = noise.shape[1]
    weight = kernel.expand(channels, 1, *kernel.shape)
    padded = F.pad(noise, 4 * (_RADIUS,), "reflect")
    return F.conv2d(padded, weight, groups=channels)
