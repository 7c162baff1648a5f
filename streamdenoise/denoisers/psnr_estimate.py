"""The PSNR of a stream that has no reference, from what the model removed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from streamdenoise.denoisers.bypass import ENTER_SIGMA

_ROWS = np.s_[::8]
_KEPT = 0.9
"""Share of the old mean that remains after each frame."""
_BASE_DB, _SHARE_OF_TABLE = 7.5, 0.17
_STILL_DB = 2.6
"""More is gained where nothing moves."""
_DETAIL_DB = 1.0
"""Less is gained in detail, for each doubling of its energy over the noise."""
_COARSE_DB = 0.75
"""Less is gained from coarse noise, for each octave of coarse over fine noise.

All five are a least-squares fit on eight training clips with six kinds of noise
(white 10, 20, 30; still; Poisson; coarse), with a mean error of 1.2 dB.
"""
_MOST_OCTAVES = 5.0
_MOST_OF_TABLE = 3.0
"""Little is gained where the model gets low levels."""


class PsnrEstimate:
    """Estimates the PSNR before and after from what was removed and how much that is.

    A model that is right in the mean removes the noise less its own error, so noise of
    variance v of which it leaves the share r shows as v (1 - r). The share depends on
    the level, and on how still, how detailed and how coarse it all is.
    """

    def __init__(self, gains_db: Mapping[str, float]) -> None:
        """Start a stream.

        Args:
            gains_db: noise std in 8-bit levels -> gain of PSNR on validation clips.
        """
        self._sigmas = [ENTER_SIGMA, *map(float, gains_db)]
        self._gains = [0.0, *gains_db.values()]
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._means = np.zeros(3)
        """Mean squares of what was removed, of the noise and motion between frames, and
        of the steps in the denoised rows."""
        self._last: np.ndarray | None = None

    def update(
        self, noisy: Sequence[np.ndarray], clean: Sequence[np.ndarray], peak: int
    ) -> None:
        """Compare a frame with what the model made of it.

        Args:
            noisy: the planes whose PSNR it is about: luma, or R, G and B.
            clean: the same planes.
            peak: full scale.
        """
        before, after = (
            np.stack([plane[_ROWS] for plane in planes]).astype(np.float32) / peak
            for planes in (noisy, clean)
        )
        removed = _mean_square(before - after)
        detail = _mean_square(np.diff(after))
        last = before if self._last is None else self._last
        # Noise of two frames differs by twice its variance, and by motion.
        changed = _mean_square(before - last) / 2
        found = np.array([removed, changed, detail])
        kept = 0.0 if self._last is None else _KEPT
        self._means = kept * self._means + (1 - kept) * found
        self._last = before

    def of(
        self,
        levels: Sequence[float],
        given_sigma: float,
        lost_db: float,
        is_given: bool,
    ) -> tuple[float, float] | None:
        """Estimate the PSNR before and after, in dB; None if nothing was seen.

        Args:
            levels: the noise profile, for how coarse the noise is.
            given_sigma: std of all noise that the model works with, in 8-bit levels.
            lost_db: gain that is lost for speed.
            is_given: whether that is what the user gave, and so the truth.
        """
        if self._last is None:
            return None
        fine, coarse = max(levels[0], ENTER_SIGMA), max(*levels[:3], ENTER_SIGMA)
        octaves = min(_MOST_OCTAVES, math.log2(coarse / fine))
        lost_db += _COARSE_DB * octaves
        most_db = _MOST_OF_TABLE * self._table_db(given_sigma)
        removed = float(self._means[0])
        sigma = given_sigma if is_given else 255 * math.sqrt(removed)
        gain_db = 0.0
        for _ in range(4):  # the gain depends on the level, which depends on the gain
            gain_db = max(0.0, min(most_db, self._gain_db(sigma) - lost_db))
            left = min(0.9, 10 ** (-gain_db / 10))
            if not is_given:
                sigma = 255 * math.sqrt(removed / (1 - left))
        if sigma <= 0:
            return None
        noisy_db = 20 * math.log10(255 / sigma)
        return noisy_db, noisy_db + gain_db

    def _table_db(self, sigma: float) -> float:
        return float(np.interp(sigma, self._sigmas, self._gains))

    def _gain_db(self, sigma: float) -> float:
        variance = max((sigma / 255) ** 2, 1e-9)
        _, changed, detail = map(float, self._means)
        still = min(1.0, variance / max(changed, 1e-9))
        gain_db = _BASE_DB + _SHARE_OF_TABLE * self._table_db(sigma)
        gain_db += _STILL_DB * still**2
        return gain_db - _DETAIL_DB * math.log2(1 + detail / variance)


def _mean_square(x: np.ndarray) -> float:
    return float(np.square(x).mean()) if x.size else 0.0
