"""The noise profile: levels by plane and scale, measured where there is only noise.

Cameras and codecs take the finest noise away and leave coarse grain, so one level does
not describe their noise (Lebrun et al., "The Noise Clinic", IPOL 2015).
`profile_estimator` finds the levels where there is more than noise.

The measure is the second difference in both directions (Immerkaer, "Fast noise
variance estimation", CVIU 1996, eq. 4) of the plane reduced by the scale, in units in
which white noise has the same level at every scale.
"""

from collections.abc import Iterable, Sequence

import numpy as np

LEVELS: tuple[tuple[int, int], ...] = (
    (0, 1),
    (0, 2),
    (0, 4),
    (1, 1),
    (1, 2),
    (2, 1),
    (2, 2),
)
"""Plane and scale of each level of a profile."""

FINEST = (0, 3, 5)
"""Each plane's level of scale 1."""

_BLOCK = 8
_STEEP = 3.0
"""Coarsest level of luma over the finest from which on the spectrum is steep."""
_MISSED = np.array([1.5, 1.2, 0.7], np.float32)
"""Powers of what is above that by which each level of luma is raised."""


def reduced(plane: np.ndarray, scale: int) -> np.ndarray:
    """Sums of ``scale x scale`` samples over `scale`: white noise keeps its std.

    Args:
        plane: ``(H, W)``.
        scale: 1, 2 or 4.

    Returns:
        ``(H / scale, W / scale)`` float32.
    """
    if scale == 1:
        return plane.astype(np.float32)
    height, width = (n // scale for n in plane.shape)
    whole = plane[: height * scale, : width * scale].astype(np.float32)
    return whole.reshape(height, scale, width, scale).sum((1, 3)) / scale


def block_energies(plane: np.ndarray) -> np.ndarray:
    """Mean square of the second differences of blocks of 8x8, 1 for white noise of 1.

    Args:
        plane: ``(H, W)`` float32.

    Returns:
        ``(rows, columns)`` float32; empty for planes that are too small.
    """
    rows, columns = ((n - 2) // _BLOCK for n in plane.shape)
    if rows < 1 or columns < 1:
        return np.empty((0, 0), np.float32)
    part = plane[: rows * _BLOCK + 2, : columns * _BLOCK + 2]
    vertical = part[2:] - 2 * part[1:-1] + part[:-2]
    second = vertical[:, 2:] - 2 * vertical[:, 1:-1] + vertical[:, :-2]
    blocks = second.reshape(rows, _BLOCK, columns, _BLOCK)
    return np.einsum("abcd,abcd->ac", blocks, blocks) / (36.0 * _BLOCK**2)


def white_profile(stds: Iterable[float]) -> np.ndarray:
    """The profile of white noise, which has one level at all scales.

    Args:
        stds: level of each plane; of luma alone for gray.

    Returns:
        ``(7,)`` float32, see `LEVELS`.
    """
    planes = [*stds, 0.0, 0.0][:3]
    return np.array([planes[plane] for plane, _ in LEVELS], np.float32)


def with_missed_power(profile: np.ndarray) -> np.ndarray:
    """Raise the luma levels of coarse noise by what their measure misses.

    Second differences see most of the upper end of an octave. In the noise of cameras,
    whose spectrum falls, the lower end has more: coefficients of blocks have 1.3 to 2.4
    times the level. White noise stays as it is.

    Args:
        profile: ``(7,)`` stds, see `LEVELS`.
    """
    fine, coarse = float(profile[0]), float(profile[2])
    if coarse <= _STEEP * fine or fine == 0:
        return profile
    raised = profile.copy()
    raised[:3] *= (coarse / (_STEEP * fine)) ** _MISSED
    return raised


def measured_profile(noise: Sequence[np.ndarray]) -> np.ndarray:
    """The profile of planes that hold nothing but noise.

    Args:
        noise: ``(T, H, W)`` for each plane, in units of full scale.

    Returns:
        ``(7,)`` stds, see `LEVELS`.
    """
    levels: list[float] = []
    for number, scale in LEVELS:
        energies = [block_energies(reduced(x, scale)) for x in noise[number]]
        if energies[0].size:
            levels.append(float(np.sqrt(np.mean(energies))))
        else:  # too small for this scale: as on the finer one
            levels.append(float(np.std(noise[number])) if scale == 1 else levels[-1])
    return np.array(levels, np.float32)
