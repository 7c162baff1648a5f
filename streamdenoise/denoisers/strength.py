"""How strongly noise is removed: less by mixing, more by telling more noise.

Below 1 the output is mixed with the input: half the strength removes half of what the
model would. Above 1 the model gets higher levels than were measured. Within the model
nothing else is scaled, which would shift the brightness.
"""

from collections.abc import Sequence

import numpy as np

from streamdenoise.denoisers.options import MAX_STRENGTH
from streamdenoise.errors import ConfigError
from streamdenoise.imaging.blend import blend_planes, with_areas_of
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.units import Region

_TOLD_POWER = 0.75
"""The highest strength, 4, multiplies levels by 2.8: models learned up to 1.5 octaves.
"""
MOST_TOLD = 64 / 255
"""A strength above 1 raises no level beyond this: models learned no more."""


class Strength:
    """Factors on the denoising of luma and color, which may change at any time."""

    def __init__(
        self,
        total: float = 1.0,
        *,
        luma: float = 1.0,
        chroma: float = 1.0,
        spared: Sequence[Region] = (),
    ) -> None:
        """Set the factors.

        Args:
            total: see the property.
            luma: factor on `total` for the brightness, 0 to 4.
            chroma: factor on `total` for the color, 0 to 4.
            spared: areas of the frame that stay as they are.

        Raises:
            ConfigError: one is out of range.
        """
        self.total = total
        self._parts = (
            _checked("strength_luma", luma),
            _checked("strength_chroma", chroma),
        )
        self._spared = tuple(spared)

    @property
    def total(self) -> float:
        """0 to 4; 0 returns the input bit for bit, 1 is neutral.

        Setting another value raises `ConfigError`: one that is no number would stay in
        the model's memory of the past.
        """
        return self._total

    @total.setter
    def total(self, total: float) -> None:
        self._total = _checked("strength", total)

    @property
    def factors(self) -> tuple[float, float]:
        """Of luma and of color, 0 to 4."""
        luma, chroma = (min(MAX_STRENGTH, self.total * part) for part in self._parts)
        return luma, chroma

    def told(self, profile: np.ndarray) -> np.ndarray:
        """The profile that the model gets.

        Args:
            profile: ``(7,)`` stds in [0, 1] of the noise, see `LEVELS`.
        """
        luma, chroma = self.factors
        factor = [
            max(1.0, chroma if plane else luma) ** _TOLD_POWER for plane, _ in LEVELS
        ]
        more = np.minimum(profile * np.array(factor, np.float32), MOST_TOLD)
        return np.maximum(profile, more).astype(np.float32)

    def mixed(
        self, noisy: Sequence[np.ndarray], clean: Sequence[np.ndarray], share: float = 1
    ) -> tuple[np.ndarray, ...]:
        """The output, between the input and what the model made of it.

        Args:
            noisy: planes of a frame, see `blend_planes`.
            clean: the same, denoised.
            share: factor on the share of `clean`, 0 to 1.

        Raises:
            ConfigError: an area to spare reaches beyond the frame.
        """
        luma, chroma = (share * min(1.0, factor) for factor in self.factors)
        mixed = blend_planes(noisy, clean, luma, chroma)
        if not self._spared:
            return mixed
        height, width = noisy[0].shape[:2]
        for region in self._spared:
            _, _, right, bottom = region.edges
            if right > width or bottom > height:
                raise ConfigError(
                    f"--spare {region} reaches beyond the frames, which are {width}x"
                    f"{height}; choose a part of them"
                )
        return with_areas_of(noisy, mixed, self._spared)


def _checked(name: str, factor: float) -> float:
    if not 0 <= factor <= MAX_STRENGTH:  # nor if it is not a number
        raise ConfigError(
            f"{name} {factor:g} is outside 0 to {MAX_STRENGTH:g}; 1 is neutral"
        )
    return factor
