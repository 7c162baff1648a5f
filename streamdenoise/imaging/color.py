"""YUV 4:2:0 to RGB, to gray and back, in the matrix and range that a stream is tagged
with.

This is the one place that knows color matrices, and that decides what untagged video
is: windows, overlays, images, OpenCV arrays, noise levels and training all ask here.
Video that goes from file to file or from stream to stream is never converted. The
equations are those of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance).
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from streamdenoise.frame import ColorInfo, Frame, bit_depth

# ISO/IEC 23091-2 matrix coefficients -> weights of red and blue in the luma.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in `rgb_to_gray`."""

_NOISE_MARGIN = 3.0
"""White noise of std 1 in RGB leaves a std of up to 1.2 (in blue) in the detail that
4:2:0 drops."""


def detail_to_keep(rgb: np.ndarray, halved: np.ndarray, sigma: float) -> np.ndarray:
    """Color detail that 4:2:0 cannot hold: large differences are edges, others noise.

    Args:
        rgb: ``(H, W, 3)`` noisy image.
        halved: the same image after conversion to yuv420 and back.
        sigma: std of the noise in RGB, in the same unit.

    Returns:
        ``(H, W, 3)`` ``float32`` to add to the denoised image.
    """
    lost = np.subtract(rgb, halved, dtype=np.float32)
    return np.sign(lost) * np.maximum(np.abs(lost) - _NOISE_MARGIN * sigma, 0)


def resolve_matrix(color: ColorInfo, width: int, height: int) -> int:
    """The matrix to use: the tagged one, or the usual guess for untagged video.

    Untagged video, and video with a tag that is not in the table, is BT.709 from HD on
    (1280 pixels wide and up, or more than 576 lines) and BT.601 below. Players such as
    mpv and VLC have the same rule.

    Args:
        color: tags of the stream.
        width: frame width in pixels.
        height: frame height in pixels.

    Returns:
        A code of ISO/IEC 23091-2 for which there are equations here.
    """
    if color.matrix in _LUMA_WEIGHTS:
        return color.matrix
    return 1 if width >= 1280 or height > 576 else 6


def rgb_to_gray(rgb: np.ndarray) -> np.ndarray:
    """Convert RGB to gray with the weights of BT.601, whatever the size.

    JPEG, OpenCV and published figures on gray images do the same.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``, ``uint16`` or ``float32``.

    Returns:
        ``(H, W)`` of the same type.
    """
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def yuv420_to_rgb(
    planes: tuple[np.ndarray, ...], color: ColorInfo, depth: int = 8
) -> np.ndarray:
    """Convert planar 4:2:0 to RGB.

    Args:
        planes: Y ``(H, W)``, U and V ``(ceil(H/2), ceil(W/2))``; ``uint8``, or
            ``uint16`` when `depth` is 10.
        color: matrix and range; untagged is limited range, see `resolve_matrix`.
        depth: bits per sample, 8 or 10.

    Returns:
        ``(H, W, 3)`` ``uint8``, C-contiguous, rounded and clipped once.
    """
    return _round(yuv420_to_rgb_exact(planes, color, depth), 8)


def yuv420_to_rgb_exact(
    planes: tuple[np.ndarray, ...],
    color: ColorInfo,
    depth: int = 8,
    interpolation: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    """`yuv420_to_rgb` without rounding and clipping.

    Args:
        planes: as in `yuv420_to_rgb`, or ``float32`` in the same levels.
        color: as in `yuv420_to_rgb`.
        depth: as in `yuv420_to_rgb`.
        interpolation: OpenCV's method of enlarging the chroma.

    Returns:
        ``(H, W, 3)`` ``float32`` in 8-bit levels.
    """
    luma, u, v = planes
    height, width = luma.shape
    # Even target size: chroma samples sit between two luma samples at any frame size.
    even = (u.shape[1] * 2, u.shape[0] * 2)
    u = cv2.resize(u, even, interpolation=interpolation)[:height, :width]
    v = cv2.resize(v, even, interpolation=interpolation)[:height, :width]
    resolved = resolve_matrix(color, width, height)
    matrix = _to_rgb(resolved, color.is_full_range, depth)
    merged = cv2.merge((luma, u, v)).astype(np.float32)
    return cv2.transform(merged, matrix)


def rgb_to_yuv420(
    rgb: np.ndarray, color: ColorInfo, depth: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert RGB to planar 4:2:0; chroma is the mean of each 2x2 block.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``.
        color: matrix and range; untagged is limited range, see `resolve_matrix`.
        depth: bits per sample of the result, 8 or 10.

    Returns:
        Y ``(H, W)``, U and V ``(ceil(H/2), ceil(W/2))``; ``uint8``, or ``uint16`` when
        `depth` is 10. The last row and column of odd sizes are repeated for chroma.
    """
    y, u, v = (_round(plane, depth) for plane in rgb_to_yuv420_exact(rgb, color, depth))
    return y, u, v


def rgb_to_yuv420_exact(
    rgb: np.ndarray, color: ColorInfo, depth: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`rgb_to_yuv420` without rounding and clipping.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``, or ``float32`` in 8-bit levels, of any value.
        color: as in `rgb_to_yuv420`.
        depth: as in `rgb_to_yuv420`.

    Returns:
        The planes in ``float32``, in code values of `depth` bits.
    """
    height, width = rgb.shape[:2]
    resolved = resolve_matrix(color, width, height)
    matrix = yuv_from_rgb(resolved, color.is_full_range, depth)
    exact = rgb.astype(np.float32)
    padded = exact
    if height % 2 or width % 2:
        padded = cv2.copyMakeBorder(
            exact, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE
        )
    size = (padded.shape[1] // 2, padded.shape[0] // 2)
    half = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    luma, u, v = (
        cv2.transform(source, matrix[row : row + 1])
        for row, source in enumerate((exact, half, half))
    )
    return luma.reshape(height, width), u.reshape(size[::-1]), v.reshape(size[::-1])


def frame_to_rgb(frame: Frame) -> np.ndarray:
    """Any `Frame` as ``(H, W, 3)`` ``uint8`` RGB; rgb24 is returned as it is."""
    if frame.pix_fmt == "rgb24":
        return frame.planes[0]
    if frame.pix_fmt == "rgb48le":
        return cv2.convertScaleAbs(frame.planes[0], alpha=1 / 257)
    depth = bit_depth(frame.pix_fmt)
    return yuv420_to_rgb(with_chroma(frame.planes, depth), frame.color, depth)


def frame_to_picture(frame: Frame) -> np.ndarray:
    """Any `Frame` as a picture: gray stays gray, more than 8 bits become 16.

    Returns:
        ``(H, W)`` or ``(H, W, 3)`` RGB, ``uint8`` or ``uint16``, in full range.
    """
    depth = bit_depth(frame.pix_fmt)
    if frame.pix_fmt.startswith("rgb"):
        return frame.planes[0]
    is_gray = len(frame.planes) == 1
    if is_gray and frame.color.is_full_range and depth in (8, 16):
        return frame.planes[0]
    exact = yuv420_to_rgb_exact(with_chroma(frame.planes, depth), frame.color, depth)
    if is_gray:
        exact = np.ascontiguousarray(exact[..., 1])
    return _round(exact, 8) if depth == 8 else _round(exact * np.float32(257), 16)


def with_chroma(planes: tuple[np.ndarray, ...], depth: int) -> tuple[np.ndarray, ...]:
    """Planes of 4:2:0: the given ones, or gray with neutral chroma added."""
    if len(planes) == 3:
        return planes
    height, width = planes[0].shape
    half = ((height + 1) // 2, (width + 1) // 2)
    gray = np.full(half, 1 << (depth - 1), planes[0].dtype)
    return planes[0], gray, gray


def _round(values: np.ndarray, depth: int) -> np.ndarray:
    """Round ``float32`` once and clip it to `depth` bits; faster than NumPy's steps."""
    dtype = cv2.CV_8U if depth == 8 else cv2.CV_16U
    zero: Any = 0  # a scalar, which OpenCV's stubs leave out
    rounded = cv2.add(values, zero, dtype=dtype)
    return rounded if depth == 8 else np.minimum(rounded, (1 << depth) - 1)


def _levels(full_range: bool, depth: int) -> tuple[float, float, float]:
    """Black level, luma span and chroma span in code values."""
    if full_range:
        peak = float((1 << depth) - 1)
        return 0.0, peak, peak
    scale = float(1 << (depth - 8))
    return 16 * scale, 219 * scale, 224 * scale


@lru_cache(maxsize=32)
def yuv_from_rgb(matrix: int, full_range: bool, depth: int = 8) -> np.ndarray:
    """The linear map from 8-bit RGB to code values of YUV.

    Args:
        matrix: see `resolve_matrix`.
        full_range: whether black is 0, not 16.
        depth: bits per sample of the code values, 8 or 10.

    Returns:
        ``(3, 4)`` ``float64``, read-only: a row for each of Y, U and V, with the
        weights of R, G and B, then the offset.
    """
    red, blue = _LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    black, luma_span, chroma_span = _levels(full_range, depth)
    rows = np.stack(
        [
            luma * luma_span,
            (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)) * chroma_span,
            (np.array([1, 0, 0]) - luma) / (2 * (1 - red)) * chroma_span,
        ]
    )
    middle = float(1 << (depth - 1))
    offsets = np.array([[black], [middle], [middle]])
    whole = np.hstack([rows / 255, offsets])
    whole.flags.writeable = False  # every caller gets this one
    return whole


@lru_cache(maxsize=32)
def _to_rgb(matrix: int, full_range: bool, depth: int) -> np.ndarray:
    """``(3, 4)``: 8-bit RGB from code values of YUV, the inverse of `yuv_from_rgb`."""
    forward = yuv_from_rgb(matrix, full_range, depth)
    inverse = np.linalg.inv(forward[:, :3])
    return np.hstack([inverse, -inverse @ forward[:, 3:]])
