"""Estimate of the noise level of a stream, per plane, cheap enough for each frame.

White noise survives a second difference in both directions, pictures mostly do not
(Immerkaer, "Fast noise variance estimation", CVIU 1996, eq. 4). Where Immerkaer
averages the whole picture, we look at the quietest blocks only (Pyatykh et al., TIP
2013, argue why), because texture adds energy and never takes any away. Blocks so near
to black or white that clipping takes noise away are left out.
"""

from collections.abc import Sequence

import numpy as np

_BLOCK = 8
_QUIET = 0.05
"""Share of the blocks that is taken for free of texture."""
_QUIET_OF_NOISE = 0.5546
"""The block of that rank, of white noise of variance 1: its mean square; measured on
200,000 blocks of pure noise."""
_NEAR_LIMIT = 2.2
"""So many stds below white, or above black, clipping of RGB already tells in luma."""
_LIMITS = (17 / 255, 234 / 255)
_FEWEST, _FEWEST_SHARE = 32, 0.03
"""Blocks that are looked at even if all are near a limit: those farthest from it."""
_EACH_AT_FIRST, _EVERY = 8, 4
_MAX_BANDS = 24
_MAX_BANDS_PIXELS = 1 << 17


def estimate_sigma(plane: np.ndarray, peak: int, scale: int = 1) -> float:
    """Estimate the std of the noise in one plane.

    Args:
        plane: ``(H, W)`` ``uint8`` or ``uint16``.
        peak: full scale, 255 or 1023.
        scale: 1 looks at single pixels; 2 at sums of 2x2, which sees noise that is
            smooth over a few pixels. For white noise both give the same.

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
    black, white = (limit * peak for limit in _LIMITS)
    room = np.minimum(means - black, white - means).ravel()
    std = _std_of_quiet(energy.ravel(), room, 0.0)
    for _ in range(2):
        std = _std_of_quiet(energy.ravel(), room, _NEAR_LIMIT * std)
    # The sum of four independent samples has twice their std.
    return scale * std / peak


def _std_of_quiet(energy: np.ndarray, room: np.ndarray, wanted: float) -> float:
    """Std from the quietest blocks that have room to black and white."""
    fewest = min(room.size, max(_FEWEST, int(_FEWEST_SHARE * room.size)))
    wanted = min(wanted, float(np.partition(room, -fewest)[-fewest]))
    found = np.quantile(energy[room >= wanted], _QUIET)
    return float(np.sqrt(found / _QUIET_OF_NOISE))


def plane_std(plane: np.ndarray, peak: int, scales: Sequence[int]) -> float:
    """`estimate_sigma` at one or more scales: the larger estimate counts.

    Noise that is looked for at two scales is that of cameras, smeared by demosaicing
    and compression.
    """
    return max(estimate_sigma(plane, peak, scale) for scale in scales)


class SigmaEstimator:
    """`plane_std` of each plane, smoothed over time."""

    def __init__(self, scales: Sequence[int] = (1,), smoothing: float = 0.9) -> None:
        """Start without knowledge.

        Args:
            scales: ``(1,)`` for white noise; ``(1, 2)`` for cameras, see `plane_std`.
            smoothing: share of the old estimate that each new frame keeps.
        """
        self._scales = scales
        self._smoothing = smoothing
        self.reset()

    def update(self, planes: Sequence[np.ndarray], peak: int) -> np.ndarray:
        """Take a frame in and return the present std of each plane, in [0, 1].

        After the first frames only every fourth is looked at: noise changes slowly.
        """
        old = self._variance
        if old is not None and len(old) != len(planes):
            old = None
        settled = self._seen >= _EACH_AT_FIRST
        self._seen += 1
        if old is not None and settled and self._seen % _EVERY:
            return np.sqrt(old)
        sigmas = [plane_std(plane, peak, self._scales) for plane in planes]
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
