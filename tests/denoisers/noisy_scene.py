"""A scene with noise, as frames of any format."""

from fractions import Fraction

import numpy as np

from streamdenoise.frame import ColorInfo, Frame, bit_depth, plane_shapes


def scene(height: int, width: int, shift: float = 0.0) -> np.ndarray:
    """Waves and squares ``(height, width)`` in [0, 1], without noise."""
    rows, columns = np.indices((height, width))
    wave = 0.5 + 0.2 * np.sin((rows + shift) / 9) * np.cos(columns / 11)
    return wave + 0.1 * ((rows // 16 + (columns + int(shift)) // 16) % 2)


def noisy_frame(
    pix_fmt: str,
    height: int,
    width: int,
    *,
    noise_std: float = 0.0,
    index: int = 0,
    shift: float = 0.0,
    seed: int = 0,
) -> Frame:
    """A frame of `scene` with noise of std `noise_std` in [0, 1] in every plane."""
    rng = np.random.default_rng((seed, index))
    peak = (1 << bit_depth(pix_fmt)) - 1
    planes = []
    for shape in plane_shapes(pix_fmt, width, height):
        clean = scene(shape[0], shape[1], shift)
        clean = clean[..., None] if len(shape) == 3 else clean
        noisy = (clean + rng.normal(0, noise_std, shape)) * peak
        dtype = np.uint8 if peak == 255 else np.uint16
        planes.append(noisy.round().clip(0, peak).astype(dtype))
    return Frame(
        tuple(planes), pix_fmt, ColorInfo(), 1000 + 3 * index, Fraction(1, 90), index, 0
    )
