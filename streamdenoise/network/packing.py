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

import numpy as np
import torch
from torch import Tensor

LAYOUT_CHANNELS = {"yuv420": 24, "rgb": 48, "gray": 16}
"""Number of channels of each layout: for yuv420 16 of luma and twice 4 of chroma."""

LAYOUT_OF_CHANNELS = {count: layout for layout, count in LAYOUT_CHANNELS.items()}

OPPONENT = np.array(
    [
        np.array([1, 1, 1]) / math.sqrt(3),
        np.array([1, 0, -1]) / math.sqrt(2),
        np.array([1, -2, 1]) / math.sqrt(6),
    ],
    np.float32,
)
"""Orthonormal rows: luma, red against blue, green against both."""

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
    if planes[0].shape[1] == 3:
        planes = tuple(planes[0].split(1, 1))
    height, width = (n // 4 for n in planes[0].shape[-2:])
    blocks = []
    for plane in planes:
        size = plane.shape[-1] // width
        block = plane.reshape(-1, height, size, width, size).transpose(2, 3)
        blocks.append(block.reshape(-1, height, width, size * size))
    return torch.cat(blocks, -1)


def blocks_to_planes(pixels: Tensor, layout: str) -> tuple[Tensor, ...]:
    """Inverse of `planes_to_blocks`."""
    _, height, width, _ = pixels.shape
    planes = []
    for block in pixels.split(pixel_counts(layout), -1):
        size = math.isqrt(block.shape[-1])
        rows = block.reshape(-1, height, width, size, size).transpose(2, 3)
        planes.append(rows.reshape(-1, 1, size * height, size * width))
    return (torch.cat(planes, 1),) if layout == "rgb" else tuple(planes)


def packed_noise_std(noise_std: Tensor, layout: str) -> Tensor:
    """Spread noise levels over channels.

    Args:
        noise_std: ``(N, P)`` in [0, 1]. For yuv420 those of Y, U and V; for rgb those
            of luma and the two color differences (`OPPONENT`), which are all s for
            independent noise of std s in R, G and B; for gray one.

    Returns:
        ``(N, 1, 1, C)``.
    """
    counts = {
        "yuv420": ((0, 16), (1, 4), (2, 4)),
        "rgb": ((0, 16), (1, 4), (2, 4), (1, 12), (2, 12)),
        "gray": ((0, 16),),
    }[layout]
    columns = [noise_std[:, i : i + 1].expand(-1, count) for i, count in counts]
    return torch.cat(columns, 1)[:, None, None]
