"""Keeps the brightness of noisy frames near black and white.

Models learn that noise clips there, which shifts its mean, and undo that shift. Where
it does not clip, because there is less noise than the profile says, or because the
range continues below black, they make dark places darker and bright ones brighter.
"""

from functools import lru_cache

import cv2
import numpy as np

LEAST_TOLD = 4 / 255
"""No shift has been seen at lower noise levels."""

CELL = 16
"""Side in pixels of the squares whose means are compared."""

_PART = 4
"""Side in pixels of their parts, which are alike where there is no texture."""
_MOST_ROWS = 24
"""Most rows of cells that are looked at, to save time."""

_LIMITS = (16 / 255, 235 / 255)
"""Black and white of limited range, which count until noise is seen beyond them."""
_CLEAR = 3.0
"""Noise whose mean is this many stds away from them does not clip, even if that was
done in RGB, whose channels have more noise than luma."""
_BEYOND, _SEEN = 2.5 / 255, 0.005
"""Noise this far beyond a limit, in this share of the pixels near it, is no ringing of
a codec: it ends at 0 or 1 only."""
_ENDS = 2.0
"""Stds away from 0 or 1 where clipping hardly shifts the mean, by less than a hundredth
of the std."""
_BINS = 64
_SMOOTH = np.exp(-np.square(np.subtract.outer(range(_BINS), range(_BINS)) / 1.5) / 2)
"""Weights of the brightnesses that count for each one: six levels around."""
_DOUBT = 2.0
"""Shifts count by as much as they exceed this many standard errors."""
_NEW = 0.125
"""Weight of a new frame in what is known."""


class ToneKeeper:
    """Measures by how much a model shifts each brightness, and takes that back.

    The shift depends on the brightness alone, so all places that have it tell, and
    nothing is held back where something moves.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        # For each brightness: number of cells, and sums of their shifts and squares.
        self._known = np.zeros((3, _BINS))
        self._frames = 0

    def keep(
        self,
        noisy: np.ndarray,
        clean: np.ndarray,
        peak: int,
        std: float,
        excess: float = 1.0,
    ) -> np.ndarray:
        """Correct a denoised plane.

        Args:
            noisy: ``(H, W)`` ``uint8`` or ``uint16``.
            clean: the same, denoised.
            peak: full scale, 255 or 1023.
            std: of the noise of the plane, in [0, 1].
            excess: factor on it that the model was told, 1 or more.

        Returns:
            `clean` itself if there is nothing to correct, else a new plane.
        """
        if min(noisy.shape) < CELL:
            return clean
        self._learn(noisy, clean, peak, std, excess)
        centers = (np.arange(_BINS) + 0.5) / _BINS
        levels = np.arange(peak + 1)
        change = peak * np.interp(levels / peak, centers, self._shifts())
        if np.abs(change).max() <= 1 / 8:
            return clean
        wanted = np.maximum.accumulate(levels + change).clip(0, peak)
        if peak > 255:
            return wanted.round().astype(clean.dtype)[clean]
        whole = np.floor(wanted)
        kept = cv2.LUT(clean, whole.astype(np.uint8))
        fraction = cv2.LUT(clean, (256 * (wanted - whole)).astype(np.uint8))
        is_more = cv2.compare(fraction, _pattern(*clean.shape), cv2.CMP_GT)
        return kept - is_more  # 255 is -1 to uint8

    def _learn(
        self,
        noisy: np.ndarray,
        clean: np.ndarray,
        peak: int,
        std: float,
        excess: float,
    ) -> None:
        bands = [_bands(plane) / np.float32(peak) for plane in (noisy, clean)]
        before = _means(bands[0], CELL)
        parts = _means(bands[1], _PART)
        after = _means(parts, CELL // _PART)
        is_calm = _means(parts**2, CELL // _PART) - after**2 < std**2
        is_clear = _is_clear(before, std, _LIMITS[0], bands[0])
        is_clear &= _is_clear(1 - before, std, 1 - _LIMITS[1], 1 - bands[0])
        # Where noise clips the shift is right, but grows with the noise level.
        wrong = np.where(is_clear, 1.0, 1 - excess**-2)
        is_used = is_calm & (wrong > 0)
        shift = (wrong * (before - after))[is_used]
        bins = np.minimum((after[is_used] * _BINS).astype(int), _BINS - 1)
        new = np.stack(
            [
                np.bincount(bins, weights, _BINS)
                for weights in (np.ones_like(shift), shift, shift**2)
            ]
        )
        self._frames += 1
        self._known += max(_NEW, 1 / self._frames) * (new - self._known)

    def _shifts(self) -> np.ndarray:
        """What to add to each brightness, as far as it is certain."""
        cells, sums, squares = self._known @ _SMOOTH
        # As if one more cell had been seen without any shift.
        cells = cells + 1
        mean = sums / cells
        error = np.sqrt(np.maximum(squares / cells - mean**2, 0) / cells)
        return np.sign(mean) * np.maximum(np.abs(mean) - _DOUBT * error, 0)


def _bands(plane: np.ndarray) -> np.ndarray:
    """Some whole rows of cells, evenly spread."""
    height, width = (side // CELL for side in plane.shape)
    rows = plane[: height * CELL, : width * CELL].reshape(height, CELL, -1)
    few = rows[:: -(-height // _MOST_ROWS)]
    return few.reshape(-1, width * CELL)


def _means(pixels: np.ndarray, side: int) -> np.ndarray:
    """Means of squares, which fit."""
    height, width = pixels.shape
    size = (width // side, height // side)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _is_clear(
    means: np.ndarray, std: float, limit: float, pixels: np.ndarray
) -> np.ndarray:
    """Which cells have noise that does not clip at black, given as if it were white."""
    is_near = means < limit + _CLEAR * std
    if is_near.any():
        is_beyond = (pixels < limit - _BEYOND).astype(np.float32)
        if _means(is_beyond, CELL)[is_near].mean() > _SEEN:
            return means >= _ENDS * std
    return ~is_near


@lru_cache(maxsize=4)
def _pattern(height: int, width: int) -> np.ndarray:
    """Thresholds that make fractions of a level: rounding would show steps, and switch
    them."""
    steps = np.array([[32, 160], [224, 96]], np.uint8)
    return np.tile(steps, (-(-height // 2), -(-width // 2)))[:height, :width].copy()
