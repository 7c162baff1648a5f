"""Planes to channels at a quarter of the size, and the meaning of each channel.

A channel is a coefficient of the orthonormal cosine transform of a block of 4x4 luma
pixels. Chroma of yuv420 has half the size, so its blocks have 2x2 pixels. RGB is first
turned into luma and two orthonormal color differences, because its three planes hold
nearly the same (the transform of color BM3D; Dabov et al., "Color image denoising via
sparse 3D collaborative filtering", 2007).

All transforms are orthonormal: noise of std s in the planes has std s in the channels,
and squared errors are the same in both.
"""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from streamdenoise.imaging.blocks import LAYOUT_CHANNELS
from streamdenoise.imaging.channels import OPPONENT
from streamdenoise.imaging.noise_profile import LEVELS

LAYOUT_OF_CHANNELS = {count: layout for layout, count in LAYOUT_CHANNELS.items()}

_COARSE = [0, 1, 4, 5]
"""Coefficients of a 4x4 block that are also those of its 2x2 means."""
_FINE = [k for k in range(16) if k not in _COARSE]


def pixel_counts(layout: str) -> tuple[int, ...]:
    """Number of pixels of each plane in one block."""
    return {"yuv420": (16, 4, 4), "rgb": (16, 16, 16), "gray": (16,)}[layout]


def luma_channels(layout: str) -> int:
    """Number of leading channels that the loss counts as luma; in RGB all of them."""
    return 48 if layout == "rgb" else 16


def seen_channels(layout: str) -> int:
    """Number of leading channels that are inputs of the convolutions.

    Of the color differences of RGB these are the ones that yuv420 would hold: the finer
    coefficients, last in the order, are mostly noise, and thresholds are enough there.
    """
    return {"yuv420": 24, "rgb": 24, "gray": 16}[layout]


def mean_channels(layout: str) -> list[int]:
    """Channels that hold the means of blocks, times the block's side."""
    return {"yuv420": [0, 16, 20], "rgb": [0, 16, 20], "gray": [0]}[layout]


def band_of_channels(layout: str) -> list[int]:
    """Band of each channel: means, low frequencies, high frequencies, and chroma.

    A vector that is off by a fraction of a pixel, or aliasing, spoils the fine detail
    of the past but not its means, so the motion gate decides for each band.
    """
    orders = [row + column for row in range(4) for column in range(4)]
    bands = [0 if order == 0 else 1 if order <= 2 else 2 for order in orders]
    return bands + [3] * (LAYOUT_CHANNELS[layout] - len(bands))


def threshold_of_channels(layout: str) -> list[int]:
    """Threshold of each channel: its own, or a common one for a plane's fine color."""
    seen = seen_channels(layout)
    fine = [seen + k // len(_FINE) for k in range(LAYOUT_CHANNELS[layout] - seen)]
    return [*range(seen), *fine]


def cosine_basis(side: int) -> np.ndarray:
    """Orthonormal two-dimensional DCT-II of a block.

    Returns:
        ``(side**2, side**2)`` float32: a row for each coefficient, by rising vertical,
        then horizontal frequency; a column for each pixel, in raster order.
    """
    n = np.arange(side)
    rows = np.cos(np.pi / side * (n + 0.5) * n[:, None]) * math.sqrt(2 / side)
    rows[0] *= math.sqrt(0.5)
    return np.kron(rows, rows).astype(np.float32)


def transform(layout: str, like: Tensor) -> Tensor:
    """The orthonormal matrix ``(C, C)`` from the pixels of a block to its channels."""
    if layout == "rgb":
        every = np.kron(OPPONENT, cosine_basis(4))
        order = [
            *range(16),
            *(
                16 * plane + k
                for ks in (_COARSE, _FINE)
                for plane in (1, 2)
                for k in ks
            ),
        ]
        return torch.from_numpy(every[order]).to(like)
    sides = [math.isqrt(count) for count in pixel_counts(layout)]
    bases = [torch.from_numpy(cosine_basis(side)) for side in sides]
    return torch.block_diag(*bases).to(like)


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


def noise_shares(layout: str, levels: int) -> np.ndarray:
    """Share of each noise level in the variance of each channel.

    A level of a profile stands for the octave of frequencies that ends where its
    scale's samples cannot hold more; the last one of a plane for all that is below,
    too. The share is the part of a coefficient's own spectrum in that octave
    (Parseval), so levels that are all alike give the same level in every channel.

    Args:
        layout: of the channels.
        levels: 7 for a profile, otherwise one for each plane.

    Returns:
        ``(C, levels)`` float32, of rows that sum to 1.
    """
    counts = {
        "yuv420": ((0, 16), (1, 4), (2, 4)),
        "rgb": ((0, 16), (1, 4), (2, 4), (1, 12), (2, 12)),
        "gray": ((0, 16),),
    }[layout]
    planes = [plane for plane, count in counts for _ in range(count)]
    if levels != len(LEVELS):
        return np.eye(levels, dtype=np.float32)[planes]
    coefficients = [*range(16), *range(4), *range(4)]
    if layout == "rgb":
        coefficients = [*range(16), *_COARSE, *_COARSE, *_FINE, *_FINE]
    chroma_side = 4 if layout == "rgb" else 2
    shares = np.zeros((len(planes), levels), np.float32)
    for row, (plane, coefficient) in enumerate(zip(planes, coefficients, strict=False)):
        columns = [k for k, (of, _) in enumerate(LEVELS) if of == plane]
        spectrum = _octave_shares(chroma_side if plane else 4)[coefficient]
        for octave, share in enumerate(spectrum):
            shares[row, columns[min(octave, len(columns) - 1)]] += share
    return shares


@cache
def _octave_shares(side: int, samples: int = 64) -> np.ndarray:
    """Share of octaves, the finest first, in coefficients: ``(side**2, 3)``."""
    atoms = cosine_basis(side).reshape(-1, side, side)
    power = np.abs(np.fft.fft2(atoms, (samples, samples))) ** 2
    cycles = np.abs(np.fft.fftfreq(samples))
    highest = np.maximum(cycles[:, None], cycles[None])
    octave = np.where(highest > 0.25, 0, np.where(highest > 0.125, 1, 2))
    sums = [power[:, octave == k].sum(1) for k in range(3)]
    return np.stack(sums, 1) / power.sum((1, 2))[:, None]
