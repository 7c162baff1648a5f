"""White Gaussian noise on frames, and what it becomes in their planes.

The protocol is the usual one for video: independent noise in R, G and B at full size,
rounded and clipped to the depth of the frame, then back to the frame's own planes with
its own matrix and range, the chroma averaged over 2x2. Clipping included, this is what
a sensor's 8-bit RGB output would hold.
"""

import numpy as np

from streamdenoise.frame import ColorInfo, Frame, bit_depth

# Luma weights (K_R, K_B) by matrix code: ITU-R BT.709-6, BT.601-7, BT.2020-2.
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
_LUMA_WEIGHTS.update(dict.fromkeys((5, 6), (0.299, 0.114)))
_UNTAGGED = _LUMA_WEIGHTS[1]


def add_gaussian_noise(frame: Frame, sigma: float, rng: np.random.Generator) -> Frame:
    """Add white Gaussian noise of std `sigma` to R, G and B of one frame.

    Every call draws anew, so the frames of a clip get independent noise; call it once
    for each frame of a clip, with one generator, to get the same clip for a seed.

    Args:
        frame: any format. YUV goes through full-size RGB and back; untagged YUV is
            taken as BT.709, limited range. Gray gets the noise as it is.
        sigma: standard deviation in 8-bit levels of RGB (0 to 255), whatever the depth.
        rng: source of all randomness.

    Returns:
        The same moment, with new planes.
    """
    if sigma < 0:
        raise ValueError(f"sigma must be 0 or more, got {sigma}")
    peak = 2 ** bit_depth(frame.pix_fmt) - 1
    if not frame.pix_fmt.startswith("yuv"):
        planes = tuple(
            _quantize(plane + _normal(rng, plane.shape, sigma * peak / 255), peak)
            for plane in frame.planes
        )
        return frame.with_planes(planes)
    rgb = _yuv420_to_rgb(frame.planes, frame.color, peak)
    rgb += _normal(rng, rgb.shape, sigma / 255)
    np.clip(np.round(rgb * peak), 0, peak, out=rgb)
    return frame.with_planes(_rgb_to_yuv420(rgb / np.float32(peak), frame.color, peak))


def plane_sigmas(
    sigma: float, color: ColorInfo, pix_fmt: str = "yuv420p"
) -> tuple[float, ...]:
    """Standard deviation in each plane of noise of std `sigma` in RGB, before clipping.

    Rows of the RGB to YUV matrix add in quadrature; limited range shrinks them by
    219/255 and 224/255; the 2x2 average halves the chroma.

    Args:
        sigma: std in 8-bit levels of RGB.
        color: matrix and range of the planes; untagged is BT.709, limited range.
        pix_fmt: one of `PIX_FMTS`; gray and rgb24 keep `sigma`.

    Returns:
        One std a plane, in 8-bit levels, whatever the depth.
    """
    if not pix_fmt.startswith("yuv"):
        return (float(sigma),)
    rows = np.sqrt(np.square(_rgb_to_yuv_matrix(color)).sum(axis=1))
    return tuple(float(sigma * s) for s in rows * (1.0, 0.5, 0.5))


def _normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> np.ndarray:
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise *= np.float32(std)
    return noise


def _quantize(samples: np.ndarray, peak: int) -> np.ndarray:
    dtype = np.uint8 if peak == 255 else np.uint16
    return np.clip(np.round(samples), 0, peak).astype(dtype)


def _rgb_to_yuv_matrix(color: ColorInfo) -> np.ndarray:
    """Matrix ``(3, 3)`` from RGB in [0, 1] to YUV as a share of 255 code values."""
    kr, kb = _LUMA_WEIGHTS.get(color.matrix, _UNTAGGED)
    luma = np.array([kr, 1 - kr - kb, kb])
    u = (np.array([0.0, 0.0, 1.0]) - luma) / (2 * (1 - kb))
    v = (np.array([1.0, 0.0, 0.0]) - luma) / (2 * (1 - kr))
    scale = (255, 255, 255) if color.is_full_range else (219, 224, 224)
    return np.stack([luma, u, v]) * np.array(scale)[:, None] / 255


def _scale_and_offsets(color: ColorInfo, peak: int) -> tuple[float, tuple[float, ...]]:
    """Code values of one unit of the matrix, and those of black and of gray chroma.

    Limited range at n bits is the 8-bit one times 2^(n-8); full range reaches 2^n - 1.
    """
    unit = (peak + 1) / 256
    if color.is_full_range:
        return peak, (0.0, 128 * unit, 128 * unit)
    return 255 * unit, (16 * unit, 128 * unit, 128 * unit)


def _yuv420_to_rgb(
    planes: tuple[np.ndarray, ...], color: ColorInfo, peak: int
) -> np.ndarray:
    """RGB ``(3, H, W)`` float32, nominally in [0, 1]; chroma samples are repeated.

    Repeating is the inverse of averaging: without noise the planes come back the same.
    """
    height, width = planes[0].shape
    scale, offsets = _scale_and_offsets(color, peak)
    inverse = np.linalg.inv(_rgb_to_yuv_matrix(color)).astype(np.float32)
    y, u, v = (
        (plane.astype(np.float32) - np.float32(offset)) * np.float32(1 / scale)
        for plane, offset in zip(planes, offsets, strict=True)
    )
    rgb = np.empty((3, height, width), np.float32)
    y = y * inverse[0, 0]  # the same weight in all three rows
    for channel, (_, from_u, from_v) in zip(rgb, inverse, strict=True):
        chroma = from_u * u + from_v * v
        chroma = chroma.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        np.add(y, chroma, out=channel)
    return rgb


def _rgb_to_yuv420(
    rgb: np.ndarray, color: ColorInfo, peak: int
) -> tuple[np.ndarray, ...]:
    """Planes of RGB ``(3, H, W)`` float32 in [0, 1], the chroma averaged over 2x2."""
    scale, offsets = _scale_and_offsets(color, peak)
    matrix = (_rgb_to_yuv_matrix(color) * scale).astype(np.float32)
    halved = _average_2x2(rgb)
    return tuple(
        _quantize(
            row[0] * source[0] + row[1] * source[1] + row[2] * source[2] + offset, peak
        )
        for row, source, offset in zip(
            matrix, (rgb, halved, halved), np.array(offsets, np.float32), strict=True
        )
    )


def _average_2x2(rgb: np.ndarray) -> np.ndarray:
    """Half size ``(3, ceil(H/2), ceil(W/2))``; an odd edge is repeated."""
    _, height, width = rgb.shape
    if height % 2:
        rgb = np.concatenate([rgb, rgb[:, -1:]], axis=1)
    if width % 2:
        rgb = np.concatenate([rgb, rgb[:, :, -1:]], axis=2)
    rows = rgb[:, 0::2] + rgb[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
