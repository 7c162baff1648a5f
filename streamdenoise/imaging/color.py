"""YUV 4:2:0 to RGB and back, in the matrix and range that the stream is tagged with.

The one place where colors are converted in Python: windows, overlays, images and
OpenCV arrays come here; file to file and stream to stream never do. The equations are
those of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance).
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


_LOST_NOISE = 3.0
"""White noise of std 1 leaves a std of up to 1.2 in what 4:2:0 loses (blue)."""


def detail_to_keep(rgb: np.ndarray, halved: np.ndarray, sigma: float) -> np.ndarray:
    """Color detail that 4:2:0 cannot hold: small amounts are noise, large ones edges.

    Args:
        rgb: ``(H, W, 3)`` noisy.
        halved: the same after a way through yuv420.
        sigma: std of the noise in RGB, in the same unit.

    Returns:
        ``(H, W, 3)`` ``float32`` to add to the denoised picture.
    """
    lost = np.subtract(rgb, halved, dtype=np.float32)
    return np.sign(lost) * np.maximum(np.abs(lost) - _LOST_NOISE * sigma, 0)


def resolve_matrix(color: ColorInfo, width: int, height: int) -> int:
    """The matrix to use: the tagged one, or the usual guess for untagged video.

    Players take BT.709 for HD (1280 wide and up, or more than 576 lines) and BT.601
    below, and so do we.
    """
    if color.matrix in _LUMA_WEIGHTS:
        return color.matrix
    return 1 if width >= 1280 or height > 576 else 6


def yuv420_to_rgb(
    planes: tuple[np.ndarray, ...], color: ColorInfo, depth: int = 8
) -> np.ndarray:
    """Convert planar 4:2:0 to RGB.

    Args:
        planes: Y ``(H, W)``, U and V ``(ceil(H/2), ceil(W/2))``; ``uint8``, or
            ``uint16`` when `depth` is 10.
        color: Matrix and range; untagged is limited range, see `resolve_matrix`.
        depth: Bits per sample, 8 or 10.

    Returns:
        ``(H, W, 3)`` ``uint8``, C-contiguous, rounded and clipped once.
    """
    return _round(yuv420_to_rgb_exact(planes, color, depth), 8)


def yuv420_to_rgb_exact(
    planes: tuple[np.ndarray, ...], color: ColorInfo, depth: int = 8
) -> np.ndarray:
    """`yuv420_to_rgb` neither rounded nor clipped.

    Args:
        planes: as there, or ``float32`` in the same levels.
        color: as there.
        depth: as there.

    Returns:
        ``(H, W, 3)`` ``float32`` in 8-bit levels.
    """
    luma, u, v = planes
    height, width = luma.shape
    # Even target size: chroma samples sit between two luma samples at any frame size.
    even = (u.shape[1] * 2, u.shape[0] * 2)
    u = cv2.resize(u, even, interpolation=cv2.INTER_LINEAR)[:height, :width]
    v = cv2.resize(v, even, interpolation=cv2.INTER_LINEAR)[:height, :width]
    matrix = _to_rgb(resolve_matrix(color, width, height), color.is_full_range, depth)
    merged = cv2.merge((luma, u, v)).astype(np.float32)
    return cv2.transform(merged, matrix)


def rgb_to_yuv420(
    rgb: np.ndarray, color: ColorInfo, depth: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert RGB to planar 4:2:0; chroma is the mean of each 2x2 block.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``.
        color: Matrix and range; untagged is limited range, see `resolve_matrix`.
        depth: Bits per sample of the result, 8 or 10.

    Returns:
        Y ``(H, W)``, U and V ``(ceil(H/2), ceil(W/2))``; ``uint8``, or ``uint16`` when
        `depth` is 10. The last row and column of odd sizes are repeated for chroma.
    """
    y, u, v = (_round(plane, depth) for plane in rgb_to_yuv420_exact(rgb, color, depth))
    return y, u, v


def rgb_to_yuv420_exact(
    rgb: np.ndarray, color: ColorInfo, depth: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`rgb_to_yuv420` neither rounded nor clipped.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``, or ``float32`` in 8-bit levels, of any value.
        color: as there.
        depth: as there.

    Returns:
        The planes in ``float32``, in code values of `depth` bits.
    """
    height, width = rgb.shape[:2]
    matrix = _from_rgb(resolve_matrix(color, width, height), color.is_full_range, depth)
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
    depth = bit_depth(frame.pix_fmt)
    return yuv420_to_rgb(with_chroma(frame.planes, depth), frame.color, depth)


def with_chroma(planes: tuple[np.ndarray, ...], depth: int) -> tuple[np.ndarray, ...]:
    """Planes of 4:2:0: the same ones, or gray with colorless chroma beside it."""
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
def _from_rgb(matrix: int, full_range: bool, depth: int) -> np.ndarray:
    """``(3, 4)``: code values of YUV from 8-bit RGB, offset in the last column."""
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
    return np.hstack([rows / 255, offsets])


@lru_cache(maxsize=32)
def _to_rgb(matrix: int, full_range: bool, depth: int) -> np.ndarray:
    """``(3, 4)``: 8-bit RGB from code values of YUV, the inverse of `_from_rgb`."""
    forward = _from_rgb(matrix, full_range, depth)
    inverse = np.linalg.inv(forward[:, :3])
    return np.hstack([inverse, -inverse @ forward[:, 3:]])
