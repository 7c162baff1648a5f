"""Estimate of the noise level of a stream, per plane, cheap enough for each frame.

White noise survives a second difference in both directions, pictures mostly do not
(Immerkaer, "Fast noise variance estimation", CVIU 1996, eq. 4). Where Immerkaer
averages the whole picture, we look at the quietest blocks only (Pyatykh et al., TIP
2013, argue why), because texture adds energy and never takes any away. Blocks so near
to black or white that clipping takes noise away count only where there are no others.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_BLOCK = 8
_QUIET = 0.05
"""Share of the blocks that is taken for free of texture."""
_QUIET_OF_NOISE = 0.5546
"""The block of that rank, of white noise of variance 1: its mean square; measured on
200,000 blocks of pure noise."""
_NEAR_LIMIT = 2.2
"""So many stds below white, or above black, clipping of RGB already tells in luma."""
_LIMITED, _FULL = (17 / 255, 234 / 255), (1 / 255, 254 / 255)
_ENOUGH = 0.25
"""Share of the blocks that must have room to be trusted alone: a few bright windows at
night are all texture."""
_FEWEST = 32
"""Blocks with the most room that are looked at if none has enough."""
_HALF_CLIPPED = 1.7
"""So much less is the std of noise that is cut off at its mean: 1 / sqrt(1/2 - 1/2pi).
"""
_EACH_AT_FIRST, _EVERY = 8, 4
_MAX_BANDS = 24
_MAX_BANDS_PIXELS = 1 << 17


def estimate_noise_std(
    plane: np.ndarray, peak: int, scale: int = 1, full_range: bool = False
) -> float:
    """Estimate the std of the noise in one plane.

    Args:
        plane: ``(H, W)`` ``uint8`` or ``uint16``.
        peak: full scale, 255 or 1023.
        scale: 1 looks at single pixels; 2 at sums of 2x2, which sees noise that is
            smooth over a few pixels. For white noise both give the same.
        full_range: whether black is 0, not 16.

    Returns:
        Std in [0, 1]; 0.0 for planes too small to tell.
    """
    height, width = (n // scale for n in plane.shape)
    rows, columns = (height - 2) // _BLOCK, (width - 2) // _BLOCK
    if rows < 2 or columns < 2:
        return 0.0
    # Evenly spread bands of blocks are enough, and keep large frames cheap.
    wanted = min(_MAX_BANDS, max(4, _MAX_BANDS_PIXELS // (width * _BLOCK)))
    tops = np.unique(np.linspace(0, rows - 1, min(rows, wanted)).astype(int)) * _BLOCK
    lines = scale * tops[:, None] + np.arange(scale * (_BLOCK + 2))
    bands = plane[lines, : scale * (columns * _BLOCK + 2)].astype(np.int16)
    if scale == 2:
        bands = bands[:, ::2] + bands[:, 1::2]
        bands = bands[:, :, ::2] + bands[:, :, 1::2]
        peak *= 4
    vertical = bands[:, 2:] - 2 * bands[:, 1:-1] + bands[:, :-2]
    second = vertical[:, :, 2:] - 2 * vertical[:, :, 1:-1] + vertical[:, :, :-2]
    blocks = second.reshape(len(tops), _BLOCK, columns, _BLOCK).astype(np.float32)
    energy = np.einsum("abcd,abcd->ac", blocks, blocks) / (36.0 * _BLOCK**2)
    inner = bands[:, 1:-1, 1:-1].reshape(len(tops), _BLOCK, columns, _BLOCK)
    means = np.einsum("abcd->ac", inner, dtype=np.float32) / _BLOCK**2
    black, white = (limit * peak for limit in (_FULL if full_range else _LIMITED))
    room = np.minimum(means - black, white - means).ravel()
    # The sum of four independent samples has twice their std.
    return scale * _std_with_room(energy.ravel(), room) / peak


def _std_with_room(energy: np.ndarray, room: np.ndarray) -> float:
    """Std of the noise, from energies of blocks and their room to black and white."""
    # Bars and burned-out skies hold nothing.
    alive = (energy > 0) | (room > 0)
    if not alive.any():
        return 0.0
    energy, room = energy[alive], room[alive]
    std = found = _std_of_quiet(energy)
    for _ in range(3):
        near = _NEAR_LIMIT * std
        count = max(int((room >= near).sum()), min(_FEWEST, len(room)))
        std = _std_of_quiet(energy[np.argpartition(room, -count)[-count:]])
        if count < _ENOUGH * len(room):
            # Clipping takes no more than it does where the quietest blocks are.
            share = min(1.0, max(0.0, float(np.median(room)) / near))
            std = min(std, found * (_HALF_CLIPPED + (1 - _HALF_CLIPPED) * share))
    return std


def _std_of_quiet(energy: np.ndarray) -> float:
    return float(np.sqrt(np.quantile(energy, _QUIET) / _QUIET_OF_NOISE))


def plane_noise_std(
    plane: np.ndarray, peak: int, scales: Sequence[int], full_range: bool = False
) -> float:
    """`estimate_noise_std` at one or more scales: the larger estimate counts.

    Noise that is looked for at two scales is that of cameras, smeared by demosaicing
    and compression.
    """
    return max(estimate_noise_std(plane, peak, scale, full_range) for scale in scales)


# Color differences around mid gray, so that they fit 8 bits: rows as those of
# `packing.OPPONENT`, an offset last.
_OPPONENT_LEVELS = np.array(
    [[1 / 3, 1 / 3, 1 / 3, 0], [1 / 2, 0, -1 / 2, 128], [1 / 4, -1 / 2, 1 / 4, 128]],
    np.float32,
)
_OPPONENT_UNITS = 1 / np.sqrt(np.square(_OPPONENT_LEVELS[:, :3]).sum(1))


def opponent_noise_stds(rgb: np.ndarray, scales: Sequence[int]) -> np.ndarray:
    """`plane_noise_std` of luma and of two color differences of RGB.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``.
        scales: see `plane_noise_std`.

    Returns:
        ``(3,)`` std in [0, 1] of orthonormal combinations (`packing.OPPONENT`): all are
        s for independent noise of std s in R, G and B.
    """
    planes = cv2.split(cv2.transform(np.ascontiguousarray(rgb), _OPPONENT_LEVELS))
    stds = [plane_noise_std(plane, 255, scales, full_range=True) for plane in planes]
    return np.array(stds) * _OPPONENT_UNITS


class NoiseEstimator:
    """`plane_noise_std` of each plane, or `opponent_noise_stds`, smoothed over time."""

    def __init__(self, scales: Sequence[int] = (1,), smoothing: float = 0.9) -> None:
        """Start without knowledge.

        Args:
            scales: ``(1,)`` for white noise, ``(1, 2)`` for cameras: `plane_noise_std`.
            smoothing: share of the old estimate that each new frame keeps.
        """
        self._scales = scales
        self._smoothing = smoothing
        self.reset()

    def update(
        self, planes: Sequence[np.ndarray], peak: int, full_range: bool = False
    ) -> np.ndarray:
        """Take a frame in and return its present noise levels, in [0, 1].

        They are those of each plane, or `opponent_noise_stds` of a single RGB "plane".
        After the first frames only every fourth is looked at: noise changes slowly.
        """
        is_rgb = planes[0].ndim == 3
        old = self._variance
        if old is not None and len(old) != (3 if is_rgb else len(planes)):
            old = None
        settled = self._seen >= _EACH_AT_FIRST
        self._seen += 1
        if old is not None and settled and self._seen % _EVERY:
            return np.sqrt(old)
        if is_rgb:
            sigmas = opponent_noise_stds(planes[0], self._scales)
        else:
            sigmas = [
                plane_noise_std(p, peak, self._scales, full_range) for p in planes
            ]
        new = np.array(sigmas, np.float32) ** 2
        if old is not None:
            keep = self._smoothing ** (_EVERY if settled else 1)
            new = keep * old + (1 - keep) * new
        self._variance = new
        return np.sqrt(new)

    def reset(self) -> None:
        """Forget the stream."""
        self._variance: np.ndarray | None = None
        self._seen = 0
