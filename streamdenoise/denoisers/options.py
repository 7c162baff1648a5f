"""The options of a denoiser."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from streamdenoise.errors import ConfigError
from streamdenoise.options import Option, Panel
from streamdenoise.units import Region, parse_noise_region, parse_regions

AUTO = "auto"
"""The largest model for cameras; in live jobs, the largest that keeps up."""

MAX_SIGMA = 255.0
"""Highest noise level that can be given, in 8-bit levels."""

MAX_STRENGTH = 4.0
"""Highest strength of the denoising."""


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
    noise_profile: Annotated[
        Path | None,
        Option(
            "Noise of the camera as `streamdenoise profile` saved it, instead of "
            "--sigma.",
            Panel.NOISE,
            metavar="FILE",
        ),
    ] = None
    profile_region: Annotated[
        Region | None,
        Option(
            "Flat area of the frame to measure the noise in, in pixels.",
            Panel.NOISE,
            parse=parse_noise_region,
            metavar="X,Y,W,H",
        ),
    ] = None
    strength: Annotated[
        float,
        Option(
            "How strongly to denoise, from 0 (off) to 4; 1 is neutral.", Panel.NOISE
        ),
    ] = 1.0
    strength_luma: Annotated[
        float, Option("Factor on --strength for the brightness.", Panel.NOISE)
    ] = 1.0
    strength_chroma: Annotated[
        float, Option("Factor on --strength for the color.", Panel.NOISE)
    ] = 1.0
    spared: Annotated[
        tuple[Region, ...],
        Option(
            "Leave this part of the output as it is, noise and all, as X,Y,W,H in "
            "pixels; may be repeated.",
            Panel.NOISE,
            "--spare",
            parse=parse_regions,
            repeats=True,
            metavar="X,Y,W,H",
        ),
    ] = ()
    """Of the frames as they are written, so after cropping and scaling."""
    model: Annotated[
        str,
        Option(
            "Model to use: a name that `streamdenoise models` lists, or the path of a "
            ".json or .safetensors file; auto is nano, or a smaller one if live frames "
            "leave no time for it.",
            Panel.NOISE,
            metavar="NAME|FILE|auto",
        ),
    ] = AUTO
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
        Option(
            "CPU threads of the engine, the decoder and the encoder, each; by default "
            "as many as the cores, the affinity mask and the cgroup allow.",
            Panel.HARDWARE,
        ),
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
        for name in ("strength", "strength_luma", "strength_chroma"):
            factor = getattr(self, name)
            if not 0 <= factor <= MAX_STRENGTH:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {factor:g} is out of range; use 0 "
                    f"(off) to {MAX_STRENGTH:g}, 1 is neutral"
                )
        given = {
            "--sigma": self.sigma != "auto",
            "--noise-profile": self.noise_profile is not None,
            "--profile-region": self.profile_region is not None,
        }
        names = [name for name, is_given in given.items() if is_given]
        if len(names) > 1:
            raise ConfigError(
                f"{' and '.join(names)} each say what the noise is; give one of them"
            )
        check_threads(self.threads)
