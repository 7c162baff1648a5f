"""Clean clips of waves, which every denoiser gains on."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamdenoise.frame import ColorInfo, Frame, StreamInfo, plane_shapes
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig

TICK = Fraction(1, 25)
BT709 = ColorInfo(1, 1, 1, 1)


def textured(
    index: int, width: int = 128, height: int = 96, period: float = 9.0
) -> Frame:
    """Waves that move two pixels a frame, far from black and white."""
    planes = []
    for h, w in plane_shapes("yuv420p", width, height):
        scale = w / width
        rows = np.arange(h)[:, None] / (period * scale)
        columns = (np.arange(w) + 2 * index * scale) / (period * scale)
        height_of_waves = 25 if w == width else 4  # colors stay within RGB
        waves = np.sin(rows) + np.sin(columns)
        planes.append((125 + height_of_waves * waves).astype(np.uint8))
    return Frame(tuple(planes), "yuv420p", BT709, index, TICK, index, 0.0)


def waves_rgb(index: int, height: int = 101, width: int = 135) -> np.ndarray:
    """Waves that move two pixels a frame, ``(H, W, 3)`` uint8."""
    x = np.arange(width) + 2 * index
    luma = 120 + 40 * np.sin(np.arange(height)[:, None] / 9) + 30 * np.sin(x / 7)
    return np.stack([luma, luma * 0.9, luma * 0.8 + 20], axis=2).astype(np.uint8)


def write(path: Path, frames: Sequence[Frame]) -> None:
    """Write a lossless clip at 25 Hz."""
    info = StreamInfo(
        frames[0].width, frames[0].height, "yuv420p", Fraction(25), TICK, color=BT709
    )
    with open_sink(str(path), info, encoder=EncoderConfig("ffv1")) as sink:
        for frame in frames:
            sink.write(frame)
