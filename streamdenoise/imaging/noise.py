"""Noise on frames, and how strong white noise is in each of their planes.

The protocol is the usual one for video: independent noise in R, G and B at full size,
rounded and clipped to the depth of the frame, then back to the frame's own planes, with
its own matrix and range and the chroma averaged over 2x2. Including the clipping, this
is the noise in a sensor's 8-bit RGB output.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from streamdenoise.frame import ColorInfo, Frame, bit_depth
from streamdenoise.imaging.added_noise import AddedNoise, NoiseKind
from streamdenoise.imaging.color import (
    resolve_matrix,
    rgb_to_yuv420_exact,
    yuv420_to_rgb_exact,
    yuv_from_rgb,
)
from streamdenoise.imaging.luma_range import luma_codes


def add_gaussian_noise(frame: Frame, sigma: float, rng: np.random.Generator) -> Frame:
    """Add white Gaussian noise of std `sigma` to R, G and B of one frame.

    Every call draws new noise. Call it once for each frame of a clip, with one
    generator: the frames get independent noise, and a seed always gives the same clip.

    Args:
        frame: any format. YUV goes through full-size RGB and back; for untagged YUV see
            `streamdenoise.imaging.color.resolve_matrix`. Gray gets the noise directly.
        sigma: standard deviation in 8-bit levels of RGB (0 to 255), whatever the depth.
        rng: source of all randomness.

    Returns:
        The same frame with new planes.

    Raises:
        ValueError: `sigma` is negative.
    """
    if sigma < 0:
        raise ValueError(f"sigma must be 0 or more, got {sigma}")
    return _with_noise(frame, lambda rgb: _gaussian(rgb, sigma, rng))


def add_noise(frame: Frame, noise: AddedNoise, rng: np.random.Generator) -> Frame:
    """Add noise of any kind to one frame; `noise.seed` is up to the caller.

    Args:
        frame: see `add_gaussian_noise`. Black, to which the brightness of a pixel
            refers, is that of the frame's own range.
        noise: kind and level.
        rng: source of all randomness.

    Returns:
        The same frame with new planes.
    """
    draw = _DRAWS[noise.kind]
    return _with_noise(frame, lambda rgb: draw(rgb, noise.level, rng))


class _Samples(NamedTuple):
    """RGB or gray before it is rounded."""

    values: np.ndarray
    """``float32``; ``(3, H, W)``, ``(H, W, 3)`` or ``(H, W)``."""
    channel_axis: int | None
    black: int
    white: int
    full_scale: int
    """What 255 of 8-bit levels stand for."""


def _gaussian(rgb: _Samples, sigma: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(rgb.values.shape, dtype=np.float32)
    noise *= np.float32(sigma * (rgb.full_scale / 255))
    return rgb.values + noise


def _poisson(rgb: _Samples, photons: float, rng: np.random.Generator) -> np.ndarray:
    per_level = photons / (rgb.white - rgb.black)
    noisy = np.empty_like(rgb.values)
    # NumPy draws in 64 bits: row by row, or color by color, they take less memory.
    for target, values in zip(noisy, rgb.values, strict=True):
        light = (values - np.float32(rgb.black)).clip(0) * per_level
        target[:] = rgb.black + rng.poisson(light) / per_level
    return noisy


def _salt_pepper(rgb: _Samples, share: float, rng: np.random.Generator) -> np.ndarray:
    axis = rgb.channel_axis
    shape = [n for place, n in enumerate(rgb.values.shape) if place != axis]
    drawn = rng.random(shape, dtype=np.float32)
    if axis is not None:
        drawn = np.expand_dims(drawn, axis)
    noisy = np.where(drawn < share / 2, np.float32(rgb.black), rgb.values)
    return np.where(drawn >= 1 - share / 2, np.float32(rgb.white), noisy)


def _speckle(rgb: _Samples, std: float, rng: np.random.Generator) -> np.ndarray:
    factor = rng.standard_normal(rgb.values.shape, dtype=np.float32)
    factor *= np.float32(std)
    return rgb.values + factor * (rgb.values - np.float32(rgb.black))


_DRAWS: dict[
    NoiseKind, Callable[[_Samples, float, np.random.Generator], np.ndarray]
] = {
    NoiseKind.GAUSSIAN: _gaussian,
    NoiseKind.POISSON: _poisson,
    NoiseKind.SALT_PEPPER: _salt_pepper,
    NoiseKind.SPECKLE: _speckle,
}


def _with_noise(frame: Frame, draw: Callable[[_Samples], np.ndarray]) -> Frame:
    """A frame whose RGB at full size, or gray, is what `draw` makes of it."""
    depth = bit_depth(frame.pix_fmt)
    peak = (1 << depth) - 1
    if not frame.pix_fmt.startswith("yuv"):
        (plane,) = frame.planes
        is_rgb = plane.ndim == 3
        black, white = 0, frame.full_scale
        if not (is_rgb or frame.color.is_full_range or depth > 10):
            black, span, _ = luma_codes(depth)
            white = black + span
        samples = _Samples(
            plane.astype(np.float32),
            2 if is_rgb else None,
            black,
            white,
            frame.full_scale,
        )
        return frame.with_planes((_quantize(draw(samples), peak),))
    # Repeating the chroma is the inverse of averaging it: without noise the planes come
    # back as they were.
    rgb = yuv420_to_rgb_exact(frame.planes, frame.color, depth, cv2.INTER_NEAREST)
    # Drawn color by color, so that a seed keeps giving the noise of published figures.
    noisy = draw(_Samples(rgb.transpose(2, 0, 1), 0, 0, 255, 255))
    rgb = np.ascontiguousarray(noisy.transpose(1, 2, 0))
    unit = np.float32(255 / peak)
    rgb = np.clip(np.round(rgb / unit), 0, peak) * unit
    exact = rgb_to_yuv420_exact(rgb, frame.color, depth)
    return frame.with_planes(tuple(_quantize(plane, peak) for plane in exact))


def plane_sigmas(
    sigma: float, color: ColorInfo, width: int, height: int, pix_fmt: str = "yuv420p"
) -> tuple[float, ...]:
    """Standard deviation, in each plane, of noise of std `sigma` in RGB.

    Rows of the RGB to YUV matrix add in quadrature; limited range shrinks them by
    219/255 and 224/255; the 2x2 average halves the chroma. Clipping is left out.

    Args:
        sigma: std in 8-bit levels of RGB.
        color: matrix and range of the planes.
        width: frame width in pixels; the matrix of untagged video depends on the size.
        height: frame height in pixels.
        pix_fmt: one of `PIX_FMTS`; gray and rgb24 keep `sigma`.

    Returns:
        One std for each plane, in 8-bit levels, whatever the depth.
    """
    if not pix_fmt.startswith("yuv"):
        return (float(sigma),)
    matrix = resolve_matrix(color, width, height)
    weights = yuv_from_rgb(matrix, color.is_full_range)[:, :3]
    rows = np.linalg.norm(weights, axis=1)
    return tuple(float(sigma * s) for s in rows * (1.0, 0.5, 0.5))


def _quantize(samples: np.ndarray, peak: int) -> np.ndarray:
    dtype = np.uint8 if peak == 255 else np.uint16
    return np.clip(np.round(samples), 0, peak).astype(dtype)
