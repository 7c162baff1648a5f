"""RGB as yuv420 of many bits and back, without rounding to 8 bits in between.

Photographs have up to 134 megapixels, so only bands of them are in ``float32``.
"""

import numpy as np

from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.bands import bands
from streamdenoise.imaging.color import (
    detail_to_keep,
    rgb_to_yuv420,
    yuv420_to_rgb_exact,
)

_BORDER = 2
"""Rows beyond a band that its enlarged chroma depends on."""


def photo_to_yuv420(
    rgb: np.ndarray, peak: int, color: ColorInfo, depth: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert RGB to planar 4:2:0, see `rgb_to_yuv420`.

    Args:
        rgb: ``(H, W, 3)`` ``uint8`` or ``uint16``.
        peak: its full scale.
        color: matrix and range of the result.
        depth: bits per sample of the result, more than 8.

    Returns:
        Y ``(H, W)``, U and V ``(ceil(H/2), ceil(W/2))``, ``uint16``.
    """
    height, width = rgb.shape[:2]
    half = ((height + 1) // 2, (width + 1) // 2)
    luma, u, v = (np.empty(s, np.uint16) for s in ((height, width), half, half))
    for rows in bands(height):
        levels = rgb[rows] * np.float32(255 / peak)
        halved = _halved(rows)
        luma[rows], u[halved], v[halved] = rgb_to_yuv420(levels, color, depth)
    return luma, u, v


def photo_of(
    cleaned: tuple[np.ndarray, ...],
    rgb: np.ndarray,
    planes: tuple[np.ndarray, ...],
    peak: int,
    sigma: float,
    color: ColorInfo,
    depth: int,
) -> np.ndarray:
    """Denoised RGB, with the color detail that yuv420 cannot hold put back.

    Args:
        cleaned: denoised planes.
        rgb: the noisy image ``(H, W, 3)``, ``uint8`` or ``uint16``.
        planes: the noisy planes, see `photo_to_yuv420`.
        peak: full scale of `rgb`.
        sigma: std of the noise in RGB, in 8-bit levels.
        color: matrix and range of the planes.
        depth: bits per sample of the planes.

    Returns:
        ``(H, W, 3)`` of the type of `rgb`.
    """
    height = len(rgb)
    restored = np.empty_like(rgb)
    for rows in bands(height):
        levels = rgb[rows] * np.float32(255 / peak)
        halved = _exact(planes, rows, color, depth)
        clean = _exact(cleaned, rows, color, depth)
        clean += detail_to_keep(levels, halved, sigma)
        clean *= np.float32(peak / 255)
        restored[rows] = clean.round().clip(0, peak)
    return restored


def _exact(
    planes: tuple[np.ndarray, ...], rows: slice, color: ColorInfo, depth: int
) -> np.ndarray:
    """Some rows of the planes as RGB, see `yuv420_to_rgb_exact`."""
    top = max(0, rows.start - _BORDER)
    seen = slice(top, rows.stop + _BORDER)
    part = (planes[0][seen], *(plane[_halved(seen)] for plane in planes[1:]))
    rgb = yuv420_to_rgb_exact(part, color, depth)
    return rgb[rows.start - top : rows.stop - top]


def _halved(rows: slice) -> slice:
    return slice(rows.start // 2, (rows.stop + 1) // 2)
