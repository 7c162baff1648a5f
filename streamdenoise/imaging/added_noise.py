"""The kinds of noise that can be added to clean frames, and how users name them."""

import math
from dataclasses import dataclass
from enum import StrEnum

from streamdenoise.errors import ConfigError


class NoiseKind(StrEnum):
    """A kind of noise; the unit of its level is its own.

    The definitions are those of Gonzalez and Woods, "Digital Image Processing", section
    5.2, of MATLAB's ``imnoise`` and of scikit-image's ``random_noise``, but for the
    level of Poisson noise, which is the peak of its literature (Makitalo and Foi 2011,
    "Optimal inversion of the Anscombe transformation").
    """

    GAUSSIAN = "gaussian"
    """White noise; the level is its standard deviation in 8-bit levels of R, G and B.
    """
    POISSON = "poisson"
    """Shot noise; the level is the number of photons of white in each of R, G and B.
    Fewer photons are more noise."""
    SALT_PEPPER = "salt-pepper"
    """Pixels that turn black or white, one as often as the other; the level is their
    share of all pixels."""
    SPECKLE = "speckle"
    """Noise that is proportional to the brightness; the level is the standard deviation
    of the Gaussian factor around 1."""


_LEVELS = {
    NoiseKind.GAUSSIAN: (0.0, 255.0, "a standard deviation in 8-bit levels"),
    NoiseKind.POISSON: (0.0, 1e6, "the photons of white"),
    NoiseKind.SALT_PEPPER: (0.0, 1.0, "a share of the pixels"),
    NoiseKind.SPECKLE: (0.0, 10.0, "a standard deviation relative to the brightness"),
}
"""Levels are above the first number, and at most the second; what they are."""


@dataclass(frozen=True, slots=True)
class AddedNoise:
    """Noise to add to clean frames.

    Raises:
        ConfigError: The level is out of range.
    """

    level: float
    """In the unit of its kind, see `NoiseKind`."""
    kind: NoiseKind = NoiseKind.GAUSSIAN
    seed: int = 0
    """Repeats the noise."""

    def __post_init__(self) -> None:
        above, most, unit = _LEVELS[self.kind]
        if not (math.isfinite(self.level) and above < self.level <= most):
            raise ConfigError(
                f"noise of {self} cannot be added; {self.kind} takes more than "
                f"{above:g} to {most:g}, {unit}"
            )

    def __str__(self) -> str:
        """As users write it."""
        level = f"{self.level:g}"
        return level if self.kind is NoiseKind.GAUSSIAN else f"{self.kind}:{level}"

    @classmethod
    def parse(cls, text: str) -> "AddedNoise":
        """Parse a level of white noise, such as ``25``, or ``KIND:LEVEL``.

        Raises:
            ConfigError: It is neither.
        """
        kind, _, level = text.rpartition(":")
        try:
            return cls(float(level), NoiseKind(kind or NoiseKind.GAUSSIAN))
        except ValueError as exc:
            if isinstance(exc, ConfigError):
                raise
            kinds = ", ".join(f"{each}:LEVEL" for each in NoiseKind)
            raise ConfigError(
                f"noise of {text!r} is not known; give the level of white noise, such "
                f"as 25, or one of {kinds}, such as poisson:30, salt-pepper:0.05 or "
                "speckle:0.1"
            ) from exc
