"""The noise level of a stream: given by the user, or estimated from its frames."""

from collections.abc import Sequence

import numpy as np

from streamdenoise.denoisers.options import MAX_SIGMA
from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_level import NoiseEstimator

NEGLIGIBLE_SIGMA = 0.25
"""Frames with less noise than this, in 8-bit levels, pass unchanged: rounding adds as
much."""


class NoiseLevel:
    """Noise level of a stream, and strength of the denoising.

    Attributes:
        given: the level that the user gave, in 8-bit levels of RGB; None to estimate
            it.
        strength: factor on the level that the network works with, 0 to 4.
        sigma: std of RGB in the last frame, in 8-bit levels: given, or such that white
            noise of this std makes the luma noise that was estimated.
        luma_sigma: std of luma in the last frame, in 8-bit levels.
        fine_share: share of that std which is noise from pixel to pixel, 0 to 1; 1 if
            it is not measured.
    """

    def __init__(
        self,
        sigma: float | str = "auto",
        strength: float = 1.0,
        *,
        scales: Sequence[int] = (1,),
        measure_fine_share: bool = False,
    ) -> None:
        """Start without any frame.

        Args:
            sigma: noise std of RGB in 8-bit levels, or ``"auto"`` to estimate it.
            strength: see the attribute.
            scales: scales of the estimate, see `NoiseEstimator`.
            measure_fine_share: whether to measure `fine_share` of estimated noise.

        Raises:
            ConfigError: an argument is out of range.
        """
        self.given = _checked(sigma)
        if not 0 <= strength <= 4:
            raise ConfigError(f"strength {strength:g} is outside 0 to 4; 1 is neutral")
        self.strength = strength
        self.sigma = self.given or 0.0
        self.luma_sigma = 0.0
        self.fine_share = 1.0
        self._estimator = NoiseEstimator(scales)
        measures = measure_fine_share and self.given is None
        self._fine = NoiseEstimator() if measures else None

    def update(
        self, planes: Sequence[np.ndarray], peak: int, color: ColorInfo
    ) -> np.ndarray:
        """Take a frame in.

        Args:
            planes: those of yuv420, one of gray, or RGB ``(H, W, 3)``.
            peak: full scale, 255 or 1023.
            color: matrix and range of yuv420; gray and RGB have full range.

        Returns:
            Noise std of each plane in [0, 1], ``float32``; for RGB that of orthonormal
            combinations, see `opponent_noise_stds`.
        """
        first = planes[0]
        if len(planes) == 1:
            full_range, luma_share = True, 1.0
            per_plane = (1.0,) * (3 if first.ndim == 3 else 1)
        else:
            full_range = color.is_full_range
            per_plane = plane_sigmas(1.0, color, first.shape[1], first.shape[0])
            luma_share = per_plane[0]
        if self.given is None:
            noise_std = self._estimator.update(planes, peak, full_range)
        else:
            noise_std = np.array(per_plane, np.float32) * (self.given / 255)
        self.luma_sigma = 255 * float(noise_std[0])
        self.sigma = self.luma_sigma / luma_share
        if self._fine is not None and noise_std[0] > 0:
            fine = self._fine.update(planes[:1], peak, full_range)
            self.fine_share = min(1.0, float(fine[0] / noise_std[0]))
        return noise_std.astype(np.float32)

    def is_negligible(self, noise_std: np.ndarray | float) -> bool:
        """Whether noise of this std, in [0, 1], is too weak to be worth a step."""
        return float(np.max(noise_std)) * 255 * self.strength < NEGLIGIBLE_SIGMA

    def reset(self) -> None:
        """Forget the estimate; `sigma` stays until the next frame."""
        self._estimator.reset()
        if self._fine is not None:
            self._fine.reset()


def _checked(sigma: float | str) -> float | None:
    """The level in 8-bit levels; None for ``auto``."""
    if sigma == "auto":
        return None
    try:
        level = float(sigma)
    except ValueError:
        raise ConfigError(
            f"sigma {sigma!r} is neither a number nor 'auto'; give the noise std in "
            "8-bit levels, such as 25"
        ) from None
    if not 0 <= level <= MAX_SIGMA:
        raise ConfigError(
            f"sigma {level:g} is outside 0 to {MAX_SIGMA:g} (8-bit levels)"
        )
    return level
