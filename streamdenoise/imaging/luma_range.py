"""Luma of limited range, as video has it, in the full range of images, and back."""

import cv2
import numpy as np

LIMITED_SPAN = 219 / 255
"""Span of luma of limited range, as a share of full scale."""


def to_full_range(luma: np.ndarray, depth: int) -> np.ndarray:
    """Scale 16..235 to 0..255, in 8 or 10 bits, rounded and clipped.

    Args:
        luma: ``(H, W)`` ``uint8`` or ``uint16``.
        depth: bits per sample, 8 or 10.
    """
    first, span, peak = luma_codes(depth)
    scaled = cv2.transform(luma, np.array([[peak / span, -first * peak / span]]))
    return np.minimum(scaled, peak)  # OpenCV clips to 0 and to the limit of the type


def to_limited_range(luma: np.ndarray, depth: int) -> np.ndarray:
    """Scale 0..255 to 16..235, in 8 or 10 bits; the inverse of `to_full_range`."""
    first, span, peak = luma_codes(depth)
    return cv2.transform(luma, np.array([[span / peak, first]]))


def luma_codes(depth: int) -> tuple[int, int, int]:
    """First code of luma, codes to its last, and the peak of full range."""
    return 16 << (depth - 8), 219 << (depth - 8), (1 << depth) - 1
