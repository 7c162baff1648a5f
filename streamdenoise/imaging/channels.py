"""The channels of RGB images as planes of their own."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

OPPONENT = np.array(
    [
        np.array([1, 1, 1]) / math.sqrt(3),
        np.array([1, 0, -1]) / math.sqrt(2),
        np.array([1, -2, 1]) / math.sqrt(6),
    ],
    np.float32,
)
"""Orthonormal rows: luma, red against blue, green against both."""

_FIRST_LOOK = 32
"""Step of the rows that are compared first."""


def split_channels(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split ``(H, W, 3)`` into three contiguous planes ``(H, W)``."""
    red, green, blue = cv2.split(rgb)
    return red, green, blue


def is_colorless(rgb: np.ndarray) -> bool:
    """Whether the three channels ``(H, W, 3)`` are the same."""
    parts = (rgb[::_FIRST_LOOK], rgb)  # most images have color in the first part
    return all(bool((part[..., 1:] == part[..., :1]).all()) for part in parts)


def split_opponent(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luma and two color differences ``(H, W)`` float32, see `OPPONENT`."""
    luma, first, second = cv2.split(cv2.transform(rgb.astype(np.float32), OPPONENT))
    return luma, first, second


def merge_channels(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Merge three planes ``(H, W)`` into ``(H, W, 3)``."""
    return cv2.merge(list(planes))
