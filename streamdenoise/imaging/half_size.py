"""Planes at half size, and the detail that these cannot hold.

Of the detail, each place keeps the share that is more than noise by its energy (a local
Wiener filter; Lee, "Digital image enhancement and noise filtering by use of local
statistics", PAMI 1980): edges and texture stay, flat areas become as clean as the
half-size plane is.
"""

import cv2
import numpy as np

from streamdenoise.imaging.noise_profile import LEVELS

_AROUND = (3, 3)
"""Pixels of the half-size plane over which the energy of detail is averaged."""


def halve(plane: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels; the last row and column of odd sizes count twice."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = cv2.copyMakeBorder(
            plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE
        )
    size = ((width + 1) // 2, (height + 1) // 2)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def halved_profile(profile: np.ndarray) -> np.ndarray:
    """The noise profile of planes at half size.

    The mean of four pixels has half the noise, and a scale becomes half of it. Nothing
    is known of noise coarser than the coarsest scale: it counts as the same.

    Args:
        profile: ``(7,)`` of the planes, see `LEVELS`.
    """
    coarser = [
        LEVELS.index((plane, 2 * scale if (plane, 2 * scale) in LEVELS else scale))
        for plane, scale in LEVELS
    ]
    return profile[coarser] / 2


def restore_detail(
    clean: np.ndarray, half: np.ndarray, plane: np.ndarray, std: float, peak: int
) -> np.ndarray:
    """Enlarge a denoised half-size plane, and add the detail that is not noise.

    Args:
        clean: `half`, denoised.
        half: `plane` at half size, see `halve`.
        plane: ``(H, W)`` the noisy plane, ``uint8`` or ``uint16``.
        std: std of its noise, in code values.
        peak: full scale, 255 or 1023.

    Returns:
        ``(H, W)`` of the type of `plane`.
    """
    detail = cv2.subtract(plane, _enlarge(half, plane), dtype=cv2.CV_32F)
    energy = cv2.blur(halve(cv2.multiply(detail, detail)), _AROUND)
    signal = np.maximum(energy - np.float32(std**2), 0)
    share = signal / np.maximum(energy, np.float32(1e-6))
    kept = cv2.multiply(detail, _enlarge(share, plane, cv2.INTER_LINEAR))
    dtype = cv2.CV_8U if peak == 255 else cv2.CV_16U
    whole = cv2.add(_enlarge(clean, plane), kept, dtype=dtype)
    return whole if peak == 255 else np.minimum(whole, peak)


def _enlarge(
    half: np.ndarray, like: np.ndarray, interpolation: int = cv2.INTER_CUBIC
) -> np.ndarray:
    """`half` at the size of `like`."""
    size = (2 * half.shape[1], 2 * half.shape[0])
    height, width = like.shape
    return cv2.resize(half, size, interpolation=interpolation)[:height, :width]
