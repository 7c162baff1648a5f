"""The frames of the self-test, as a clip."""

import numpy as np

from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.inference.self_test import known_frame

NOISE_STD = np.full(7, 0.05, np.float32)
"""Noise of the clip in each plane, in [0, 1]."""


def known_clip(frames: int, height: int, width: int) -> list[tuple[np.ndarray, ...]]:
    """8-bit planes of yuv420."""
    shapes = layout_shapes("yuv420", height, width)
    return [known_frame(t, shapes, 255) for t in range(frames)]
