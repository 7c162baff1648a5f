"""The options of a denoiser."""

from dataclasses import dataclass
from typing import Annotated

from streamdenoise.errors import ConfigError
from streamdenoise.options import Option, Panel

MAX_SIGMA = 255.0
"""Highest noise level that can be given, in 8-bit levels."""


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


def check_threads(threads: int | None) -> None:
    """Raise `ConfigError` if a number of CPU threads is given and cannot work."""
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads} cannot work; use 1 or more")


def _sigma_message(sigma: object) -> str:
    return (
        f"--sigma {sigma} cannot be used; give auto or 0 to {MAX_SIGMA:g} "
        "(8-bit levels)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseConfig:
    """Which model removes the noise, and how strongly; see `Denoiser.load`."""

    sigma: Annotated[
        float | str,
        Option(
            "Noise level (standard deviation) in 8-bit levels, or auto to estimate it.",
            Panel.NOISE,
            parse=parse_sigma,
            metavar="LEVEL|auto",
        ),
    ] = "auto"
    strength: Annotated[
        float,
        Option(
            "Factor on the noise level, from 0 (off) to 4; 1 is neutral.", Panel.NOISE
        ),
    ] = 1.0
    model: Annotated[
        str,
        Option(
            "Model to use: a name that `streamdenoise models` lists, or the path of a "
            ".json or .safetensors file.",
            Panel.NOISE,
        ),
    ] = "nano"
    backend: Annotated[
        str,
        Option(
            "Runtime to use, such as openvino, onnxruntime or tensorrt; `streamdenoise "
            "doctor` lists those that work here.",
            Panel.HARDWARE,
        ),
    ] = "auto"
    """Name of a backend; `auto` takes the first that works here."""
    threads: Annotated[
        int | None,
        Option("CPU threads; by default the backend decides.", Panel.HARDWARE),
    ] = None
    tile: Annotated[
        int | None,
        Option(
            "Process in tiles of at most this side in pixels, to save memory.",
            Panel.HARDWARE,
            metavar="SIDE",
        ),
    ] = None

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
        check_threads(self.threads)
