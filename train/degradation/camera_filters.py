"""What cameras do to their noisy frames before they compress them.

Each function changes the noisy clip and the clip to learn, both ``(T, 3, H, W)`` in
[0, 1], so that a network is never asked to undo the camera's own look.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .draws import chance, uniform


def filter_noise(
    clean: Tensor, noisy: Tensor, level: float, generator: torch.Generator
) -> Tensor:
    """Change the noise as an edge-preserving filter and sharpening would.

    The filters of cameras remove fine grain and leave blotches and edges of noise,
    which estimates from fine detail miss. The image itself keeps its sharpness.

    Args:
        clean: ``(T, 3, H, W)`` in [0, 1].
        noisy: the same clip with noise.
        level: std of the noise before it was smeared, in [0, 1].
        generator: source of all randomness.

    Returns:
        As `noisy`, not clipped.
    """
    # Bilateral filter (Tomasi and Manduchi, ICCV 1998); it sums over three channels.
    tolerance = 3 * level * uniform(generator, 0.3, 1.5)
    radius = uniform(generator, 0.8, 2.5)
    left = torch.stack(
        [
            _bilateral(dirty, tolerance, radius) - _bilateral(image, tolerance, radius)
            for dirty, image in zip(noisy, clean, strict=True)
        ]
    )
    if chance(generator, 0.5):
        left = left + uniform(generator, 0, 1.5) * (left - _soft(left))
    return clean + left


def average_over_time(
    clean: Tensor, noisy: Tensor, level: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Average where nothing seems to move, recursively: the camera's temporal filter.

    The clip to learn gets the same weights, ghosts included.

    Args:
        clean: ``(T, 3, H, W)``.
        noisy: the same clip with noise.
        level: std of the noise, in [0, 1].
        generator: source of all randomness.

    Returns:
        The clean and the noisy clip.
    """
    least = uniform(generator, 0.15, 0.7)
    tolerance = max(level * uniform(generator, 0.5, 2.0), 1e-3)
    shown, wanted = noisy[:1], clean[:1]
    noisies, cleans = [shown], [wanted]
    for t in range(1, len(clean)):
        change = noisy[t : t + 1] - shown
        moved = F.avg_pool2d(change.mean(1, keepdim=True), 5, 1, 2).abs()
        share = least + (1 - least) * (moved / tolerance - 0.5).clamp(0, 1)
        shown = shown + share * change
        wanted = wanted + share * (clean[t : t + 1] - wanted)
        noisies.append(shown)
        cleans.append(wanted)
    return torch.cat(cleans), torch.cat(noisies)


def sharpen(
    clean: Tensor, noisy: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Sharpen edges, and with them the noise."""
    amount = uniform(generator, 0.3, 1.2)
    sharp, dirty = (x + amount * (x - _soft(x)) for x in (clean, noisy))
    return sharp.clamp(0, 1), dirty.clamp(0, 1)


def enlarge(
    clean: Tensor, noisy: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Enlarge the middle, as digital zoom does, to the size of the whole."""
    height, width = clean.shape[-2:]
    zoom = uniform(generator, 1.2, 2.2)
    rows, columns = (max(8, int(n / zoom)) for n in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    part = np.s_[:, :, top : top + rows, left : left + columns]
    mode = "bicubic" if chance(generator, 0.5) else "bilinear"
    whole, dirty = (
        F.interpolate(x[part], (height, width), mode=mode).clamp(0, 1)
        for x in (clean, noisy)
    )
    return whole, dirty


def _soft(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), "replicate"), 3, 1)


def _bilateral(image: Tensor, tolerance: float, radius: float) -> Tensor:
    array = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    filtered = cv2.bilateralFilter(array, 7, max(tolerance, 1e-3), radius)
    return torch.from_numpy(filtered).permute(2, 0, 1)
