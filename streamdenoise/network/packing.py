"""Planes to channels at a quarter of the size and back, in PyTorch.

What the channels mean is in `streamdenoise.imaging.coefficients`.
"""

import math

import torch
from torch import Tensor

from streamdenoise.imaging.blocks import LAYOUT_CHANNELS
from streamdenoise.imaging.coefficients import (
    coefficient_basis,
    noise_shares,
    pixel_counts,
)

LAYOUT_OF_CHANNELS = {count: layout for layout, count in LAYOUT_CHANNELS.items()}

_FINE = 12
"""Channels of a color difference of RGB that the convolutions do not see."""


def luma_channels(layout: str) -> int:
    """Number of leading channels that the loss counts as luma; in RGB all of them."""
    return 48 if layout == "rgb" else 16


def seen_channels(layout: str) -> int:
    """Number of leading channels that are inputs of the convolutions.

    Of the color differences of RGB these are the ones that yuv420 would hold: the finer
    coefficients, last in the order, are mostly noise, and thresholds are enough there.
    """
    return {"yuv420": 24, "rgb": 24, "gray": 16}[layout]


def threshold_of_channels(layout: str) -> list[int]:
    """Threshold of each channel: its own, or a common one for a plane's fine color."""
    seen = seen_channels(layout)
    fine = [seen + k // _FINE for k in range(LAYOUT_CHANNELS[layout] - seen)]
    return [*range(seen), *fine]


def transform(layout: str, like: Tensor) -> Tensor:
    """The orthonormal matrix ``(C, C)`` from the pixels of a block to its channels."""
    return torch.from_numpy(coefficient_basis(layout)).to(like)


def pack(planes: tuple[Tensor, ...]) -> Tensor:
    """Transform blocks of the planes to channels at a quarter of the luma size.

    Args:
        planes: yuv420 ``(N, 1, H, W)`` and twice ``(N, 1, H/2, W/2)``;
            rgb ``(N, 3, H, W)``; gray ``(N, 1, H, W)``. H and W are multiples of 4.

    Returns:
        ``(N, H/4, W/4, C)``. For yuv420: 16 coefficients of luma, then 4 of U and 4 of
        V. For rgb: 16 of luma, then the 4 coarsest of each color difference, then the
        other 12 of each.
    """
    pixels = planes_to_blocks(planes)
    return pixels @ transform(LAYOUT_OF_CHANNELS[pixels.shape[-1]], pixels).T


def unpack(packed: Tensor) -> tuple[Tensor, ...]:
    """Inverse of `pack`."""
    layout = LAYOUT_OF_CHANNELS[packed.shape[-1]]
    return blocks_to_planes(packed @ transform(layout, packed), layout)


def planes_to_blocks(planes: tuple[Tensor, ...]) -> Tensor:
    """Rearrange planes, as in `pack`, to the pixels of blocks ``(N, H/4, W/4, C)``."""
    height, width = (n // 4 for n in planes[0].shape[-2:])
    parts = []
    for plane in planes:
        channels, size = plane.shape[1], plane.shape[-1] // width
        # All channels at once, in at most five dimensions: exporters and runtimes are
        # slow with more steps, and some runtimes have no more dimensions.
        rows = plane.reshape(-1, channels, height, size * width * size).transpose(1, 2)
        blocks = rows.reshape(-1, channels, size, width, size).permute(0, 3, 1, 2, 4)
        parts.append(blocks.reshape(-1, height, width, channels * size * size))
    return torch.cat(parts, -1)


def blocks_to_planes(pixels: Tensor, layout: str) -> tuple[Tensor, ...]:
    """Inverse of `planes_to_blocks`."""
    _, height, width, _ = pixels.shape
    is_rgb = layout == "rgb"
    channels = 3 if is_rgb else 1
    planes = []
    for part in (pixels,) if is_rgb else pixels.split(pixel_counts(layout), -1):
        size = math.isqrt(part.shape[-1] // channels)
        blocks = part.reshape(-1, width, channels, size, size).permute(0, 2, 3, 1, 4)
        rows = blocks.reshape(-1, height, channels, size * width * size).transpose(1, 2)
        planes.append(rows.reshape(-1, channels, size * height, size * width))
    return tuple(planes)


def packed_noise_std(noise_std: Tensor, layout: str) -> Tensor:
    """Spread noise levels over channels.

    Args:
        noise_std: in [0, 1]. ``(N, 3)``: one level for each plane of yuv420, or for
            luma and the two color differences (`OPPONENT`) of rgb, which are all s for
            independent noise of std s in R, G and B; ``(N, 1)`` for gray. ``(N, 7)``:
            the noise profile of the same planes (`noise_profile.LEVELS`).

    Returns:
        ``(N, 1, 1, C)``.
    """
    shares = torch.from_numpy(noise_shares(layout, noise_std.shape[1])).to(noise_std)
    return (noise_std.square() @ shares.T).sqrt()[:, None, None]
