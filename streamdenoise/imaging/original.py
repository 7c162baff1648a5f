"""Frames in the source's own format, from the 4:2:0 frames that were denoised.

Networks see 4:2:0 or gray of 8 or 10 bits. What they change is added to the samples of
the source, so that more bits, finer chroma, RGB and alpha come through. Brightness gets
the change as it is. To finer chroma it is enlarged, and the noise that only the finer
chroma has is removed here, where the network removed some: of this detail stays what
follows the denoised brightness (guided filter; He, Sun and Tang, "Guided image
filtering", PAMI 2013), and of the rest the share that is more than noise by its energy
(local Wiener filter; Lee, PAMI 1980).
"""

import cv2
import numpy as np

from streamdenoise.frame import ColorInfo, Original, bit_depth
from streamdenoise.imaging.color import yuv_from_rgb
from streamdenoise.imaging.planar import PlanarFormat, planar_format

_AROUND = (5, 5)
"""Samples over which detail is compared with the brightness, and its energy averaged:
the best of 3, 5, 7 and 9 on photographs with noise of sigma 5 to 30."""
_CAUTION = 2.0
"""Energy of detail is noise up to this multiple of the mean energy of noise."""
_UNEVEN = 2.0
"""Noise somewhere may have this multiple of the energy that the removed noise of 4:2:0
suggests, but never more than what is typical of the plane."""
_ROUNDING = 0.5
"""Energy of detail, in 8-bit levels, that never counts as color of its own."""
_MAD_TO_STD = 1 / 0.6745
_LOOK_STEP = 3
"""Step of the samples that the noise of a plane is measured on."""

# Energy of white noise in the detail of finer chroma, as a multiple of its energy in
# chroma of 4:2:0: (same width, same height) as there -> multiple.
_NOISE_GAIN = {(False, False): 4.35, (True, False): 1.13, (False, True): 1.46}


def seen_planes(
    planes: tuple[np.ndarray, ...],
    pix_fmt: str,
    seen_pix_fmt: str,
    seen_color: ColorInfo,
) -> tuple[np.ndarray, ...]:
    """Reduce planes to what a denoiser sees: 4:2:0 or gray of 8 or 10 bits.

    Chroma lies on the left luma sample, where H.264 and most files have it.

    Args:
        planes: of `pix_fmt`.
        pix_fmt: a `PlanarFormat`.
        seen_pix_fmt: yuv420p or gray, of 10 bits if `pix_fmt` has more than 8.
        seen_color: matrix and range of the result, for RGB; its matrix must be one of
            `resolve_matrix`.

    Returns:
        The planes of `seen_pix_fmt`; those that need no change are the same arrays.
    """
    form = _known(pix_fmt)
    depth = bit_depth(seen_pix_fmt)
    if form.kind == "rgb":
        luma, *fine = _yuv_of_rgb(planes, form, seen_color, depth)
        return (
            _rounded(luma, depth),
            *(_rounded(_reduce(plane, (False, False)), depth) for plane in fine),
        )
    luma = _to_depth(planes[0], form.depth, depth)
    if form.kind == "gray":
        return (luma,)
    if form.chroma_shift == (1, 1):
        return (luma, *(_to_depth(p, form.depth, depth) for p in planes[1:3]))
    scale = np.float32(2.0 ** (depth - form.depth))
    same = (bool(form.chroma_shift[0]), bool(form.chroma_shift[1]))
    return (
        luma,
        *(_rounded(_reduce(p * scale, same), depth) for p in planes[1:3]),
    )


def restored(
    original: Original, clean: tuple[np.ndarray, ...], pix_fmt: str, color: ColorInfo
) -> tuple[np.ndarray, ...]:
    """The planes of ``original.pix_fmt`` for a frame that was denoised.

    Args:
        original: the frame's own samples.
        clean: the denoised ``original.seen``, of the same shapes.
        pix_fmt: of `clean`.
        color: matrix and range of `clean`.

    Returns:
        New planes; those of `original` where nothing has changed. Alpha is the same
        array.
    """
    pairs = list(zip(clean, original.seen, strict=True))
    if all(now is before or np.array_equal(now, before) for now, before in pairs):
        return original.planes
    form = _known(original.pix_fmt)
    depth = bit_depth(pix_fmt)
    alpha = original.planes[form.colors :]
    if form.kind == "rgb":
        fine = _yuv_of_rgb(original.planes, form, color, depth)
        changes = [cv2.subtract(*pairs[0], dtype=cv2.CV_32F)]
        changes += _chroma_changes(fine[1:], pairs, (False, False), depth)
        return (*_changed_rgb(original.planes, form, changes, color, depth), *alpha)
    scale = np.float32(2.0 ** (form.depth - depth))
    luma = _changed(original.planes[0], *pairs[0], form, depth)
    if form.kind == "gray":
        return (luma, *alpha)
    planes = original.planes[1:3]
    if form.chroma_shift == (1, 1):
        chroma = [
            _changed(plane, *pair, form, depth)
            for plane, pair in zip(planes, pairs[1:], strict=True)
        ]
        return (luma, *chroma, *alpha)
    same = (bool(form.chroma_shift[0]), bool(form.chroma_shift[1]))
    fine = [plane * np.float32(1 / scale) for plane in planes]
    changes = _chroma_changes(fine, pairs, same, depth)
    chroma = [
        _sum(plane, change * scale, form)
        for plane, change in zip(planes, changes, strict=True)
    ]
    return (luma, *chroma, *alpha)


def _known(pix_fmt: str) -> PlanarFormat:
    form = planar_format(pix_fmt)
    if form is None:
        raise ValueError(f"{pix_fmt} is not a planar format of integers")
    return form


def _to_depth(plane: np.ndarray, depth: int, target: int) -> np.ndarray:
    """`plane` with `target` bits, rounded."""
    if depth == target:
        return plane
    if depth < target:
        return plane << (target - depth)
    shift = depth - target
    # In 32 bits, as 16 bits may overflow.
    rounded = (plane.astype(np.uint32) + (1 << (shift - 1))) >> shift
    return np.minimum(rounded, (1 << target) - 1).astype(np.uint16)


def _rounded(values: np.ndarray, depth: int) -> np.ndarray:
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.rint(values).clip(0, (1 << depth) - 1).astype(dtype)


def _changed(
    plane: np.ndarray,
    clean: np.ndarray,
    seen: np.ndarray,
    form: PlanarFormat,
    depth: int,
) -> np.ndarray:
    """A plane of full size after the change from `seen` to `clean`."""
    if form.depth == depth:
        return clean
    scale = 2.0 ** (form.depth - depth)
    return _sum(plane, cv2.subtract(clean, seen, dtype=cv2.CV_32F) * scale, form)


def _sum(plane: np.ndarray, change: np.ndarray, form: PlanarFormat) -> np.ndarray:
    # Rounded before the sum: a float32 sum of 16 bits would touch samples that stay.
    total = plane + np.rint(change).astype(np.int32)
    return total.clip(0, form.peak).astype(plane.dtype)


def _yuv_of_rgb(
    planes: tuple[np.ndarray, ...], form: PlanarFormat, color: ColorInfo, depth: int
) -> list[np.ndarray]:
    """Y, U, V of full size from G, B, R: ``float32``, in codes of `depth` bits."""
    green, blue, red = planes[:3]
    matrix = yuv_from_rgb(color.matrix, color.is_full_range, depth).copy()
    matrix[:, :3] *= 255 / form.peak
    rgb = cv2.merge([red, green, blue]).astype(np.float32)
    return list(cv2.split(cv2.transform(rgb, matrix)))


def _changed_rgb(
    planes: tuple[np.ndarray, ...],
    form: PlanarFormat,
    changes: list[np.ndarray],
    color: ColorInfo,
    depth: int,
) -> list[np.ndarray]:
    """G, B, R after changes of Y, U, V."""
    forward = yuv_from_rgb(color.matrix, color.is_full_range, depth)
    inverse = np.linalg.inv(forward[:, :3]) * (form.peak / 255)
    red, green, blue = cv2.split(cv2.transform(cv2.merge(changes), inverse))
    return [
        _sum(plane, change, form)
        for plane, change in zip(planes[:3], (green, blue, red), strict=True)
    ]


def _chroma_changes(
    fine: list[np.ndarray],
    pairs: list[tuple[np.ndarray, np.ndarray]],
    same: tuple[bool, bool],
    depth: int,
) -> list[np.ndarray]:
    """The changes of finer chroma, ``float32`` in codes of `depth` bits.

    Args:
        fine: U and V of the source, in codes of `depth` bits.
        pairs: Y, U, V of 4:2:0, each denoised and as it was seen.
        same: whether `fine` has the width and the height of 4:2:0.
        depth: of `pairs`.
    """
    middle = 1 << (depth - 1)
    if _is_gray(pairs, middle):
        return [middle - plane for plane in fine]
    guide = pairs[0][0].astype(np.float32)
    # `_reduce` keeps the detail that is passed to it.
    guide = _reduce(guide, (not same[0], not same[1])) if any(same) else guide
    mean = cv2.blur(guide, _AROUND)
    variance = cv2.blur(guide * guide, _AROUND) - mean * mean
    changes: list[np.ndarray] = []
    for plane, (clean, seen) in zip(fine, pairs[1:], strict=True):
        change = cv2.subtract(clean, seen, dtype=cv2.CV_32F)
        detail = plane - enlarge(seen.astype(np.float32), same, plane.shape)
        removed = enlarge(cv2.blur(change * change, _AROUND), same, plane.shape)
        typical = _noise_energy(detail)
        noise = np.minimum(removed * np.float32(_UNEVEN * _NOISE_GAIN[same]), typical)
        floor = typical + np.float32(_ROUNDING * 4.0 ** (depth - 8))
        detail -= _follow(detail, guide, mean, variance, floor)
        energy = cv2.blur(detail * detail, _AROUND) + np.float32(1e-6)
        dropped = np.minimum(noise * np.float32(_CAUTION) / energy, 1)
        changes.append(enlarge(change, same, plane.shape) - dropped * detail)
    return changes


def _is_gray(pairs: list[tuple[np.ndarray, np.ndarray]], middle: int) -> bool:
    """Whether all color was taken away, as networks of gray do."""
    return all((clean == middle).all() for clean, _ in pairs[1:]) and not all(
        (seen == middle).all() for _, seen in pairs[1:]
    )


def _noise_energy(detail: np.ndarray) -> np.float32:
    """Mean energy of the noise, as if most of the picture were flat."""
    sample = np.abs(detail[::_LOOK_STEP, ::_LOOK_STEP])
    return np.float32((np.median(sample) * _MAD_TO_STD) ** 2)


def _follow(
    detail: np.ndarray,
    guide: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    floor: np.float32,
) -> np.ndarray:
    """The part of `detail` that rises and falls with `guide` around each sample.

    Its own mean is left out: detail has none but by noise.
    """
    own = cv2.blur(detail, _AROUND)
    slope = (cv2.blur(detail * guide, _AROUND) - own * mean) / (variance + floor)
    return cv2.blur(slope, _AROUND) * guide - cv2.blur(slope * mean, _AROUND)


def _reduce(plane: np.ndarray, same: tuple[bool, bool]) -> np.ndarray:
    """Half the width and half the height, unless they are to stay the same."""
    if not same[0]:
        left = np.array([0.25, 0.5, 0.25], np.float32)
        one = np.ones(1, np.float32)
        plane = cv2.sepFilter2D(plane, -1, left, one, borderType=cv2.BORDER_REPLICATE)
        plane = plane[:, ::2]
    if not same[1]:
        if plane.shape[0] % 2:
            plane = np.concatenate([plane, plane[-1:]])
        plane = (plane[::2] + plane[1::2]) * np.float32(0.5)
    return np.ascontiguousarray(plane)


def enlarge(
    plane: np.ndarray, same: tuple[bool, bool], shape: tuple[int, ...]
) -> np.ndarray:
    """`plane` at the size of finer chroma: the reverse of `_reduce`, linear."""
    if not same[1]:
        size = (plane.shape[1], 2 * plane.shape[0])
        plane = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)[: shape[0]]
    if not same[0]:
        wide = np.empty((plane.shape[0], 2 * plane.shape[1]), np.float32)
        wide[:, ::2] = plane
        wide[:, 1:-1:2] = (plane[:, 1:] + plane[:, :-1]) * np.float32(0.5)
        wide[:, -1] = plane[:, -1]
        plane = wide[:, : shape[1]]
    return plane
