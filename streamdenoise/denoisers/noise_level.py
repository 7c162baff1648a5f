"""The noise of a stream: given by the user, or estimated from its frames."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamdenoise.denoisers.options import MAX_SIGMA
from streamdenoise.denoisers.saved_profile import SavedProfile
from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo, Frame
from streamdenoise.imaging.jpeg import LUMA_OF_RGB
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_profile import (
    LEVELS,
    white_profile,
    with_missed_power,
)
from streamdenoise.imaging.profile_estimator import ProfileEstimator
from streamdenoise.imaging.region_estimator import RegionEstimator
from streamdenoise.units import Region

YUV_OF_RGB = ColorInfo(matrix=1, range=2)
"""Color of RGB frames that are seen as yuv420: BT.709, full range."""


def white_stds(planes: Sequence[np.ndarray], color: ColorInfo) -> tuple[float, ...]:
    """Std that white noise of std 1 in R, G and B has in each plane.

    Args:
        planes: those of yuv420, one of gray, or RGB ``(H, W, 3)``, which counts as luma
            and color (`channels.OPPONENT`).
        color: matrix and range of yuv420.
    """
    height, width = planes[0].shape[:2]
    if len(planes) == 3:
        return plane_sigmas(1.0, color, width, height)
    return (1.0,) * (3 if planes[0].ndim == 3 else 1)


_OCTAVES = (0.75, 0.1875, 0.0625)
"""Share of all frequencies that each level of luma stands for."""


class NoiseLevel:
    """The noise profile of a stream.

    Attributes:
        levels: profile of the last frame in 8-bit levels of RGB: white noise in R, G
            and B of this std has this level. One for each of `LEVELS`.
        sigma: std of RGB in the last frame, in 8-bit levels: given, or such that white
            noise of this std makes the luma noise that was estimated.
        luma_sigma: std of luma in the last frame, in 8-bit levels.
        gain: factor from these levels to those of the planes, where the planes show
            only a part of the scale, see `SampleRange`.
        notes: remarks for the user.
    """

    def __init__(
        self,
        sigma: float | str = "auto",
        *,
        profile: SavedProfile | str | Path | None = None,
        region: tuple[int, int, int, int] | None = None,
        single_images: bool = False,
    ) -> None:
        """Start without any frame.

        Args:
            sigma: std of white noise in RGB, in 8-bit levels, or ``"auto"`` to estimate
                the profile.
            profile: replaces the estimate; may be the file that it is in.
            region: the only area to measure noise in, see `Region`; otherwise the whole
                frame, with texture left out.
            single_images: whether every frame is an image of its own, after `reset`.

        Raises:
            ConfigError: `sigma` is out of range, two of them are given, or the file
                cannot be used.
        """
        white = _checked(sigma)
        if sum(each is not None for each in (white, profile, region)) > 1:
            raise ConfigError(
                "give only one of sigma, noise_profile and profile_region: each says "
                "what the noise is"
            )
        self.levels: tuple[float, ...] = (white or 0.0,) * len(LEVELS)
        self.given = white is not None or profile is not None
        self.sigma = white or 0.0
        self.luma_sigma = 0.0
        self.gain = 1.0
        self.notes: tuple[str, ...] = ()
        if isinstance(profile, (str, Path)):
            profile = SavedProfile.read(profile)
        self._profile = profile
        if profile is not None:
            self.levels = profile.levels
            self.sigma = _total(profile.levels)
        self._estimator = ProfileEstimator(single_images)
        if region is not None:
            self._estimator = RegionEstimator(Region(*region))

    def update(
        self,
        planes: Sequence[np.ndarray],
        peak: int,
        white: Sequence[float],
        *,
        full_range: bool = True,
        hidden: Sequence[float] = (),
        raise_coarse: bool = False,
    ) -> np.ndarray:
        """Take a frame in.

        Args:
            planes: those of yuv420, one of gray, or RGB ``(H, W, 3)``.
            peak: full scale, 255 or 1023.
            white: see `white_stds`.
            full_range: whether black is 0, not 16.
            hidden: noise that an estimate cannot find, see `Frame.hidden_noise`.
            raise_coarse: whether to raise what was estimated, see `with_missed_power`.

        Returns:
            ``(7,)`` float32 stds in [0, 1], see `noise_profile.LEVELS`.

        Raises:
            ConfigError: the region is not inside of the frame.
        """
        unit = white_profile(white) * np.float32(self.gain / 255)
        if self.given:
            profile = unit * np.array(self.levels, np.float32)
        else:
            profile = self._estimator.update(planes, peak, full_range)
            levels = np.divide(profile, unit, np.zeros_like(unit), where=unit > 0)
            self.levels = tuple(map(float, levels))
            if raise_coarse:
                profile = with_missed_power(profile)
            if hidden:
                # Gray is luma as it is.
                share = LUMA_OF_RGB if len(white) == 1 else 1.0
                profile = np.hypot(profile, share * unit * np.array(hidden, np.float32))
        self.sigma = _total(self.levels)
        self.luma_sigma = self.sigma * white[0]
        return profile

    def reset(self) -> None:
        """Forget the estimate; the levels stay until the next frame."""
        self._estimator.reset()

    def compare(self, frame: Frame) -> None:
        """Note if the given profile is that of other frames."""
        if self._profile is not None:
            note = self._profile.difference(frame)
            self.notes = (note,) if note else ()


def _total(levels: Sequence[float]) -> float:
    """Std of all luma noise."""
    return math.sqrt(
        sum(share * level**2 for share, level in zip(_OCTAVES, levels, strict=False))
    )


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
