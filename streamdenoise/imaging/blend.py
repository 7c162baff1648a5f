"""Mixtures of a frame before and after denoising, in its own integers."""

from collections.abc import Sequence

import cv2
import numpy as np

from streamdenoise.imaging.channels import merge_channels, split_channels
from streamdenoise.units import Region


def blend(noisy: np.ndarray, clean: np.ndarray, share: float) -> np.ndarray:
    """Mix two planes.

    Args:
        noisy: ``(H, W)`` or ``(H, W, 3)``, ``uint8`` or ``uint16``.
        clean: of the same shape and type.
        share: of `clean`, 0 to 1; at 0 and 1 one of the two is returned as it is.
    """
    if share in (0, 1):
        return clean if share else noisy
    return cv2.addWeighted(clean, share, noisy, 1 - share, 0)


def blend_planes(
    noisy: Sequence[np.ndarray], clean: Sequence[np.ndarray], luma: float, chroma: float
) -> tuple[np.ndarray, ...]:
    """Mix the planes of a frame of any format.

    Args:
        noisy: planes of yuv420, one of gray, or RGB ``(H, W, 3)``.
        clean: of the same shapes and types.
        luma: share of `clean` in the luma, 0 to 1.
        chroma: share of `clean` in the color, 0 to 1.
    """
    if noisy[0].ndim == 3 and luma != chroma:
        return (_blend_rgb(noisy[0], clean[0], luma, chroma),)
    shares = (luma, chroma, chroma)[: len(noisy)]
    return tuple(map(blend, noisy, clean, shares))


def with_areas_of(
    noisy: Sequence[np.ndarray], clean: Sequence[np.ndarray], areas: Sequence[Region]
) -> tuple[np.ndarray, ...]:
    """The planes `clean`, with some areas of the frame from `noisy`.

    Args:
        noisy: planes of a frame of any format, see `blend_planes`.
        clean: of the same shapes and types; they stay as they are.
        areas: in pixels of the first plane.
    """
    result = tuple(plane.copy() for plane in clean)
    for area in areas:
        for plane, source in zip(result, noisy, strict=True):
            # Of smaller planes, all samples that are seen there.
            down, across = (
                round(whole / side)
                for whole, side in zip(noisy[0].shape[:2], plane.shape[:2], strict=True)
            )
            left, top, right, bottom = area.edges
            rows = slice(top // down, -(-bottom // down))
            columns = slice(left // across, -(-right // across))
            plane[rows, columns] = source[rows, columns]
    return result


def _blend_rgb(
    noisy: np.ndarray, clean: np.ndarray, luma: float, chroma: float
) -> np.ndarray:
    """Mix the luma, which is the mean of R, G and B here, and the color of RGB."""
    mixed = blend(noisy, clean, chroma)
    change = cv2.subtract(clean, noisy, dtype=cv2.CV_32F).mean(2) * (luma - chroma)
    dtype = cv2.CV_8U if mixed.dtype == np.uint8 else cv2.CV_16U
    return merge_channels(
        [cv2.add(channel, change, dtype=dtype) for channel in split_channels(mixed)]
    )
