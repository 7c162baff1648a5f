"""Estimate of the noise level of a stream, per plane, cheap enough for each frame.

White noise survives a second difference in both directions, pictures mostly do not
(Immerkaer, "Fast noise variance estimation", CVIU 1996, eq. 4). Where Immerkaer
averages the whole picture, we look at the quietest blocks only (Pyatykh et al., TIP
2013, argue why), because texture adds energy and never takes any away.
"""

from collections.abc import Sequence

import numpy as np

_BLOCK = 8
_QUANTILE = 0.15
# That quantile of a block's mean square for white noise of variance 1; measured on 40
# frames of pure noise.
_QUANTILE_OF_NOISE = 0.682
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
        Std in [0, 1]; 0.0 for planes too small to tell. Blocks that touch black or
        white are left out, as clipping hides their noise.
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
    low, high = inner.min((1, 3)), inner.max((1, 3))
    usable = energy[(low > 0) & (high < peak)]
    if usable.size < 8:
        usable = energy.ravel()
    quiet = float(np.quantile(usable, _QUANTILE))
    # The sum of four independent samples has twice their std.
    return scale * float(np.sqrt(quiet / _QUANTILE_OF_NOISE)) / peak


class SigmaEstimator:
    """`estimate_sigma` of each plane, smoothed over time."""

    def __init__(self, scales: Sequence[int] = (1,), smoothing: float = 0.9) -> None:
        """Start without knowledge.

        Args:
            scales: ``(1,)`` for white noise; ``(1, 2)`` for cameras, whose noise is
                smeared by demosaicing and compression: the larger estimate counts.
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
        sigmas = [max(estimate_sigma(p, peak, s) for s in self._scales) for p in planes]
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
