"""What may be chosen of a denoiser."""

from dataclasses import dataclass

from streamdenoise.errors import ConfigError

MAX_SIGMA = 255.0
"""Highest noise level that may be told, in 8-bit levels."""


@dataclass(frozen=True, slots=True)
class DenoiseConfig:
    """Which denoiser, and how strong; the arguments of `Denoiser.load`."""

    model: str = "nano"
    """Name of a shipped model, or the path of a compiled one's ``.json``."""
    backend: str = "auto"
    """Name of a backend; `auto` takes the first that works here."""
    sigma: float | str = "auto"
    """Noise level (standard deviation) in 8-bit levels, or `auto` to estimate it."""
    strength: float = 1.0
    """Factor on the noise level: 0 passes frames through, 1 is neutral."""
    threads: int | None = None
    """Threads of the backend; None leaves the choice to it."""
    tile: int | None = None
    """Largest side of what is denoised at once, in pixels; None takes it whole."""
    wait_for_engine: bool = True
    """Build a missing engine before the first frame, not while another backend works.
    """

    def __post_init__(self) -> None:
        if isinstance(self.sigma, str):
            object.__setattr__(self, "sigma", parse_sigma(self.sigma))
        elif not 0 <= self.sigma <= MAX_SIGMA:
            raise ConfigError(_sigma_message(self.sigma))
        if not 0 <= self.strength <= 4:
            raise ConfigError(
                f"--strength {self.strength:g} is out of range; use 0 (off) to 4, "
                "1 is neutral"
            )


def parse_sigma(text: str) -> float | str:
    """Read a noise level: `auto`, or a number of 8-bit levels.

    Raises:
        ConfigError: It is neither.
    """
    if text == "auto":
        return text
    try:
        sigma = float(text)
    except ValueError:
        sigma = -1.0
    if not 0 <= sigma <= MAX_SIGMA:
        raise ConfigError(_sigma_message(text))
    return sigma


def _sigma_message(sigma: object) -> str:
    return (
        f"--sigma {sigma} cannot be used; give auto or 0 to {MAX_SIGMA:g} "
        "(8-bit levels)"
    )
