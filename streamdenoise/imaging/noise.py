"""White Gaussian noise on frames, and how strong it is in each of their planes.

The protocol is the usual one for video: independent noise in R, G and B at full size,
rounded and clipped to the depth of the frame, then back to the frame's own planes, with
its own matrix and range and the chroma averaged over 2x2. Including the clipping, this
is the noise in a sensor's 8-bit RGB output.
"""

import cv2
import numpy as np

from streamdenoise.frame import ColorInfo, Frame, bit_depth
from streamdenoise.imaging.color import (
    resolve_matrix,
    rgb_to_yuv420_exact,
    yuv420_to_rgb_exact,
    yuv_from_rgb,
)


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
    depth = bit_depth(frame.pix_fmt)
    peak = (1 << depth) - 1
    scale = frame.full_scale / 255
    if not frame.pix_fmt.startswith("yuv"):
        planes = tuple(
            _quantize(plane + _normal(rng, plane.shape, sigma * scale), peak)
            for plane in frame.planes
        )
        return frame.with_planes(planes)
    # Repeating the chroma is the inverse of averaging it: without noise the planes come
    # back as they were.
    rgb = yuv420_to_rgb_exact(frame.planes, frame.color, depth, cv2.INTER_NEAREST)
    # Drawn color by color, so that a seed keeps giving the noise of published figures.
    noise = _normal(rng, (3, frame.height, frame.width), sigma)
    rgb += noise.transpose(1, 2, 0)
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


def _normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> np.ndarray:
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise *= np.float32(std)
    return noise


def _quantize(samples: np.ndarray, peak: int) -> np.ndarray:
    dtype = np.uint8 if peak == 255 else np.uint16
    return np.clip(np.round(samples), 0, peak).astype(dtype)
