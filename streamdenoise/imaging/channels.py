"""The channels of RGB images as planes of their own."""

from collections.abc import Sequence

import cv2
import numpy as np


def split_channels(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split ``(H, W, 3)`` into three contiguous planes ``(H, W)``."""
    red, green, blue = cv2.split(rgb)
    return red, green, blue


def merge_channels(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Merge three planes ``(H, W)`` into ``(H, W, 3)``."""
    return cv2.merge(list(planes))
