"""Estimate of the noise level of each plane of a stream, cheap enough for each frame.

White noise survives a second difference in both directions, image content mostly does
not (Immerkaer, "Fast noise variance estimation", CVIU 1996, eq. 4). Where Immerkaer
averages the whole image, this looks at the quietest blocks only (Pyatykh et al., TIP
2013, explain why), because texture adds energy and never removes any. Blocks so close
to black or white that clipping removes noise count only where there are no others.
"""

from collections.abc import Sequence

import cv2
import numpy as np

_BLOCK = 8
_QUIET = 0.05
"""Share of the blocks that is assumed to be free of texture."""
_QUIET_OF_NOISE = 0.5546
"""Mean square of the block at that rank in white noise of variance 1; measured on
200,000 blocks of pure noise."""
_NEAR_LIMIT = 2.2
"""Within this many stds of black or white, clipping of RGB shows in the luma."""
_LIMITED, _FULL = (17 / 255, 234 / 255), (1 / 255, 254 / 255)
_ENOUGH = 0.25
"""If fewer of the blocks are free of clipping, they are not trusted alone: a few bright
windows at night are all texture."""
_FEWEST = 32
"""At least this many blocks are used: those furthest from black and white."""
_HALF_CLIPPED = 1.7
"""Std of noise over its std after clipping at its mean: 1 / sqrt(1/2 - 1/2pi)."""
_EACH_AT_FIRST, _EVERY = 8, 4
"""The first frames are all used, later ones in steps."""
_MAX_BANDS = 24
_MAX_BANDS_PIXELS = 1 << 17


def estimate_noise_std(
    plane: np.ndarray, peak: int, scale: int = 1, full_range: bool = False
) -> float:
    """Estimate the std of the noise in one plane.

    Args:
        plane: ``(H, W)`` ``uint8`` or ``uint16``.
        peak: full scale, 255 or 1023.
        scale: 1 uses single pixels; 2 uses sums of 2x2 pixels, and so includes noise
            that is smooth over a few pixels. For white noise both give the same.
        full_range: whether black is 0, not 16.

    Returns:
        Std in [0, 1]; 0.0 for planes that are too small.
    """
    height, width = (n // scale for n in plane.shape)
    rows, columns = (height - 2) // _BLOCK, (width - 2) // _BLOCK
    if rows < 2 or columns < 2:
        return 0.0
    # A few evenly spaced bands of blocks are enough, and keep large frames cheap.
    wanted = min(_MAX_BANDS, max(4, _MAX_BANDS_PIXELS // (width * _BLOCK)))
    bands_at = np.linspace(0, rows - 1, min(rows, wanted), dtype=np.int64)
    tops = np.unique(bands_at) * _BLOCK
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
    """Std of the noise from the blocks' energies and distances to black and white."""
    # Black bars and overexposed skies hold no noise.
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
            # Clipping removes no more than it does from the quietest blocks.
            share = min(1.0, max(0.0, float(np.median(room)) / near))
            std = min(std, found * (_HALF_CLIPPED + (1 - _HALF_CLIPPED) * share))
    return std


def _std_of_quiet(energy: np.ndarray) -> float:
    return float(np.sqrt(np.quantile(energy, _QUIET) / _QUIET_OF_NOISE))


def plane_noise_std(
    plane: np.ndarray, peak: int, scales: Sequence[int], full_range: bool = False
) -> float:
    """The largest `estimate_noise_std` at one or more scales.

    Two scales are for the noise of cameras, which demosaicing and compression smear.
    """
    return max(estimate_noise_std(plane, peak, scale, full_range) for scale in scales)


# The rows of `packing.OPPONENT`, scaled and with an offset, so that color differences
# fit 8 bits.
_OPPONENT_LEVELS = np.array(
    [[1 / 3, 1 / 3, 1 / 3, 0], [1 / 2, 0, -1 / 2, 128], [1 / 4, -1 / 2, 1 / 4, 128]],
    np.float32,
)
_OPPONENT_UNITS = 1 / np.sqrt(np.square(_OPPONENT_LEVELS[:, :3]).sum(1))


def opponent_noise_stds(rgb: np.ndarray, scales: Sequence[int]) -> np.ndarray:
    """Estimate the noise of the luma and of two color differences of RGB.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``.
        scales: see `plane_noise_std`.

    Returns:
        ``(3,)`` stds in [0, 1] of orthonormal combinations of R, G and B
        (`packing.OPPONENT`): all are s for independent noise of std s.
    """
    planes = cv2.split(cv2.transform(np.ascontiguousarray(rgb), _OPPONENT_LEVELS))
    stds = [plane_noise_std(plane, 255, scales, full_range=True) for plane in planes]
    return np.array(stds) * _OPPONENT_UNITS


class NoiseEstimator:
    """Estimates the noise level of each plane of a stream, smoothed over time."""

    def __init__(self, scales: Sequence[int] = (1,), smoothing: float = 0.9) -> None:
        """Start a stream.

        Args:
            scales: ``(1,)`` for white noise, ``(1, 2)`` for cameras; see
                `plane_noise_std`.
            smoothing: share of the old estimate that remains after each new frame.
        """
        self._scales = scales
        self._smoothing = smoothing
        self.reset()

    def update(
        self, planes: Sequence[np.ndarray], peak: int, full_range: bool = False
    ) -> np.ndarray:
        """Take the next frame and return the current noise levels.

        After the first frames only every fourth is used, because noise changes slowly.

        Args:
            planes: ``(H, W)`` each, or a single ``(H, W, 3)`` of RGB.
            peak: full scale, 255 or 1023.
            full_range: whether black is 0, not 16.

        Returns:
            Stds in [0, 1], ``float32``: one for each plane, or `opponent_noise_stds` of
            RGB.
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
            stds = opponent_noise_stds(planes[0], self._scales)
        else:
            stds = [plane_noise_std(p, peak, self._scales, full_range) for p in planes]
        new = np.array(stds, np.float32) ** 2
        if old is not None:
            keep = self._smoothing ** (_EVERY if settled else 1)
            new = keep * old + (1 - keep) * new
        self._variance = new
        return np.sqrt(new)

    def reset(self) -> None:
        """Forget the stream."""
        self._variance: np.ndarray | None = None
        self._seen = 0
