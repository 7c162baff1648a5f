"""Blocks of pixels as coefficients: the channels that the network works on.

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

from streamdenoise.imaging.blocks import LAYOUT_CHANNELS
from streamdenoise.imaging.channels import OPPONENT
from streamdenoise.imaging.noise_profile import LEVELS

MIN_NOISE_STD = 0.5 / 255
"""Differences are never measured against less noise than rounding causes."""

MIN_GIVEN_STD = 0.25 / 255
"""A noise map never starts below this; from a level of zero it could find no noise."""

_COARSE = [0, 1, 4, 5]
"""Coefficients of a 4x4 block that are also those of its 2x2 means."""
_FINE = [k for k in range(16) if k not in _COARSE]


def pixel_counts(layout: str) -> tuple[int, ...]:
    """Number of pixels of each plane in one block."""
    return {"yuv420": (16, 4, 4), "rgb": (16, 16, 16), "gray": (16,)}[layout]


def mean_channels(layout: str) -> list[int]:
    """Channels that hold the means of blocks, times the block's side."""
    return {"yuv420": [0, 16, 20], "rgb": [0, 16, 20], "gray": [0]}[layout]


def shown_channels(layout: str, profile: bool) -> list[int]:
    """Channels whose noise levels the convolutions see: means, fine luma, chroma.

    Without a `profile` the fine luma has no level of its own.
    """
    means = mean_channels(layout)
    return [means[0], *([15] if profile else []), means[-1]]


def band_of_channels(layout: str) -> list[int]:
    """Band of each channel: means, low frequencies, high frequencies, and chroma.

    A vector that is off by a fraction of a pixel, or aliasing, spoils the fine detail
    of the past but not its means, so the motion gate decides for each band.
    """
    orders = [row + column for row in range(4) for column in range(4)]
    bands = [0 if order == 0 else 1 if order <= 2 else 2 for order in orders]
    return bands + [3] * (LAYOUT_CHANNELS[layout] - len(bands))


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


def coefficient_basis(layout: str) -> np.ndarray:
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
        return every[order]
    counts = pixel_counts(layout)
    basis = np.zeros((sum(counts), sum(counts)), np.float32)
    first = 0
    for count in counts:
        part = slice(first, first + count)
        basis[part, part] = cosine_basis(math.isqrt(count))
        first += count
    return basis


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
