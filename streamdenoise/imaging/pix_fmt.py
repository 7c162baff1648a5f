"""Planes from one of our pixel formats to another, by the exact color equations."""

import cv2
import numpy as np

from streamdenoise.frame import ColorInfo, bit_depth
from streamdenoise.imaging.color import (
    resolve_matrix,
    rgb_to_yuv420,
    with_chroma,
    yuv420_to_rgb,
    yuv420_to_rgb_exact,
)


def convert_planes(
    planes: tuple[np.ndarray, ...], pix_fmt: str, target: str, color: ColorInfo
) -> tuple[tuple[np.ndarray, ...], ColorInfo]:
    """Convert `planes` from `pix_fmt` to `target`, both of `PIX_FMTS`.

    Returns:
        The planes and their color tags; the same planes if the format is the same.
    """
    if pix_fmt == target:
        return planes, color
    if pix_fmt == "rgb48le":
        rgb = cv2.convertScaleAbs(planes[0], alpha=1 / 257)
        return convert_planes((rgb,), "rgb24", target, color)
    height, width = planes[0].shape[:2]
    depth, target_depth = bit_depth(pix_fmt), bit_depth(target)
    if pix_fmt == "rgb24" and target == "rgb48le":
        return (planes[0].astype(np.uint16) * 257,), color
    if pix_fmt == "rgb24":
        matrix = resolve_matrix(color, width, height)
        color = ColorInfo(matrix, 1, color.primaries, color.transfer)
        yuv = rgb_to_yuv420(planes[0], color, target_depth)
        return (yuv[:1] if target.startswith("gray") else yuv), color
    if target in ("rgb24", "rgb48le"):
        full = ColorInfo(0, 2, color.primaries, color.transfer)
        planes = with_chroma(planes, depth)
        if target == "rgb24":
            return (yuv420_to_rgb(planes, color, depth),), full
        exact = 257 * yuv420_to_rgb_exact(planes, color, depth)
        return (exact.round().clip(0, 65535).astype(np.uint16),), full
    wanted = planes[:1] if target.startswith("gray") else with_chroma(planes, depth)
    return tuple(_to_depth(plane, depth, target_depth) for plane in wanted), color


def _to_depth(plane: np.ndarray, depth: int, target: int) -> np.ndarray:
    if depth == target:
        return plane
    if depth < target:
        return plane.astype(np.uint16) << (target - depth)
    shift = depth - target
    rounded = (plane.astype(np.uint32) + (1 << (shift - 1))) >> shift
    dtype = np.uint8 if target == 8 else np.uint16
    return np.minimum(rounded, (1 << target) - 1).astype(dtype)
