"""The noise profile of a flat area that the user points at.

All of the area is taken for noise: nothing there is excused as texture.
"""

from collections.abc import Sequence

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.imaging.channels import split_opponent
from streamdenoise.imaging.noise_profile import measured_profile
from streamdenoise.units import Region

_EACH_AT_FIRST, _EVERY = 8, 4
"""The first frames are all measured, later ones in steps."""
_LEAST_NEW = 0.1
"""Share of each measurement in the mean, once that holds this many."""


class RegionEstimator:
    """Measures the noise profile of one area of a stream, smoothed over time."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._variance = np.zeros(1)
        self._frames = self._measured = 0

    def update(
        self, planes: Sequence[np.ndarray], peak: int, full_range: bool = False
    ) -> np.ndarray:
        """Take the next frame and return the current profile.

        Args:
            planes: see `ProfileEstimator.update`.
            peak: full scale, 255 or 1023.
            full_range: not used: an area that clips is not fit to measure noise.

        Returns:
            ``(7,)`` float32 stds in [0, 1], see `ProfileEstimator.update`.

        Raises:
            ConfigError: the area is not inside of the frame.
        """
        parts = self._cut(planes)
        is_due = self._frames < _EACH_AT_FIRST or self._frames % _EVERY == 0
        self._frames += 1
        if is_due:
            self._measured += 1
            missing = [np.zeros((1, 64, 64), np.float32)] * (3 - len(parts))
            new = np.square(measured_profile([*parts, *missing]) / peak)
            share = max(1 / self._measured, _LEAST_NEW)
            self._variance = (1 - share) * self._variance + share * new
        return np.sqrt(self._variance).astype(np.float32)

    def _cut(self, planes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The area of each plane, ``(1, h, w)``; of RGB its luma and color."""
        height, width = planes[0].shape[:2]
        left, top, right, bottom = self._region.edges
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ConfigError(
                f"--profile-region {self._region} is not inside of the frame of "
                f"{width}x{height}; give X,Y,WIDTH,HEIGHT of a flat area in pixels"
            )
        if planes[0].ndim == 3:
            planes = split_opponent(planes[0][top:bottom, left:right])
            return [plane[None] for plane in planes]
        scales = (1, 2, 2)[: len(planes)]
        return [
            plane[None, top // n : bottom // n, left // n : right // n]
            for plane, n in zip(planes, scales, strict=True)
        ]
