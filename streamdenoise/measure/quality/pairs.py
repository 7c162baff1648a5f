"""Real noise: pairs of images of one scene, a single shot and the mean of many.

The PolyU set (Xu and others, "Real-world noisy image denoising: a new benchmark", 2018)
has such pairs; its files are named ``..._real.JPG`` and ``..._mean.JPG``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import ConfigError
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.io.options import IMAGE_SUFFIXES
from streamdenoise.io.sources.image import read_image
from streamdenoise.measure.config import EvalConfig

_NOISY, _CLEAN = "_real", "_mean"


@dataclass(frozen=True, slots=True)
class PairScore:
    """One image, denoised with estimated sigma."""

    name: str
    psnr_noisy: float
    """RGB PSNR of the noisy image against the mean, in dB."""
    psnr: float
    """RGB PSNR of the denoised image against the mean, in dB."""
    sigma_estimated: float
    """In 8-bit levels of RGB."""

    @property
    def gain_db(self) -> float:
        return self.psnr - self.psnr_noisy


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Noisy and clean images of the same scenes, sorted by name.

    Raises:
        ConfigError: There is none, or one lacks its clean image.
    """
    noisy = (
        sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.endswith(_NOISY)
        )
        if folder.is_dir()
        else []
    )
    if not noisy:
        raise ConfigError(
            f"{folder} holds no pairs; give a folder of images named *{_NOISY} and "
            f"*{_CLEAN}"
        )
    pairs = [
        (path, path.with_stem(path.stem.removesuffix(_NOISY) + _CLEAN))
        for path in noisy
    ]
    for path, clean in pairs:
        if not clean.is_file():
            raise ConfigError(f"{path} has no clean image {clean.name} next to it")
    return pairs


def measure_pairs(
    config: EvalConfig,
    pairs: Sequence[tuple[Path, Path]],
    on_progress: Callable[[str], None],
) -> list[PairScore]:
    """Denoise each image independently, as `streamdenoise image` does.

    Args:
        config: Model, backend, threads.
        pairs: Noisy and clean images.
        on_progress: Called with progress messages.

    Raises:
        ConfigError: The images of a pair differ in size.
        SourceError: One cannot be read.
    """
    on_progress(f"{len(pairs)} pairs of images")
    scores = []
    with Denoiser.load(
        config.model, backend=config.backend, threads=config.threads
    ) as denoiser:
        for path, clean_path in pairs:
            (noisy, _), (clean, _) = read_image(path), read_image(clean_path)
            if noisy.shape != clean.shape:
                raise ConfigError(
                    f"{path} and {clean_path.name} differ in size; give images of the "
                    "same scene"
                )
            denoiser.reset()
            denoised = denoiser(noisy, "rgb24")
            scores.append(
                PairScore(
                    path.stem.removesuffix(_NOISY),
                    psnr_db(clean, noisy, 255),
                    psnr_db(clean, denoised, 255),
                    denoiser.sigma,
                )
            )
    return scores
