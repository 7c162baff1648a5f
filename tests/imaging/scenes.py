"""Images to move."""

import cv2
import numpy as np


def scene(height: int = 480, width: int = 640, seed: int = 0) -> np.ndarray:
    """A smooth random image in [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = rng.random((height, width)).astype(np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), r) * r for r in (1.2, 4, 12)]
    image = np.sum(layers, 0)
    return (image - image.min()) / (image.max() - image.min())
