"""Real noise: pairs of images of one scene, a single shot and the mean of many.

The PolyU set (Xu and others, "Real-world noisy image denoising: a new benchmark", 2018)
has such pairs; its files are named ``..._real.JPG`` and ``..._mean.JPG``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from streamdenoise.denoisers.load import load_video_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.imaging.color import rgb_to_gray
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.io.options import IMAGE_SUFFIXES
from streamdenoise.measure.clips import fit, read_clip
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.peers.peer import Options, Peer
from streamdenoise.measure.quality.real.contenders import denoise_with, tune

TUNED_PX = 256
"""Side of the middle of each image in which peers are tuned, to save time."""

_NOISY, _CLEAN = "_real", "_mean"


@dataclass(frozen=True, slots=True)
class PairPeer:
    """A peer on one image."""

    psnr: float
    """RGB PSNR of its output against the mean, in dB."""
    options: Options
    """Its setting."""


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
    folder: str = ""
    """Name of the folder that the pair is in."""
    peers: dict[str, PairPeer] = field(default_factory=dict)
    """By name, each at its best setting."""

    @property
    def gain_db(self) -> float:
        return self.psnr - self.psnr_noisy

    @property
    def peer_gains_db(self) -> dict[str, float]:
        """By name."""
        return {name: p.psnr - self.psnr_noisy for name, p in self.peers.items()}


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Noisy and clean images of the same scenes, sorted by name.

    Raises:
        ConfigError: There is none, or one lacks its clean image.
    """
    noisy = _noisy_images(folder)
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


def has_pairs(folder: Path) -> bool:
    """Whether a folder has noisy images named as those of pairs."""
    return bool(_noisy_images(folder))


def _noisy_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.endswith(_NOISY)
    )


def measure_pairs(
    config: EvalConfig,
    pairs: Sequence[tuple[Path, Path]],
    peers: Sequence[Peer],
    on_progress: Callable[[str], None],
) -> list[PairScore]:
    """Denoise each image independently, as `streamdenoise image` does.

    Args:
        config: Model, backend, threads.
        pairs: Noisy and clean images.
        peers: Denoisers to compare with; those that need a past are left out.
        on_progress: Called with progress messages.

    Raises:
        ConfigError: The images of a pair differ in size, or a peer failed.
        SourceError: One cannot be read.
    """
    scores = []
    peers = [peer for peer in peers if peer.takes_images]
    options = DenoiseConfig(
        model=config.model, backend=config.backend, threads=config.threads
    )
    with (
        load_video_denoiser(options, single_images=True) as denoiser,
        TemporaryDirectory(prefix="streamdenoise-eval-") as scratch,
    ):
        for number, (path, clean_path) in enumerate(pairs, start=1):
            on_progress(f"pair {number} of {len(pairs)}: {path.name}")
            (frame,), (reference,) = (
                read_clip(each, 1, "rgb24") for each in (path, clean_path)
            )
            noisy, clean = frame.planes[0], reference.planes[0]
            if noisy.shape != clean.shape:
                raise ConfigError(
                    f"{path} and {clean_path.name} differ in size; give images of the "
                    "same scene"
                )
            denoiser.reset()
            (denoised,) = denoiser.process(frame)
            scores.append(
                PairScore(
                    path.stem.removesuffix(_NOISY),
                    psnr_db(clean, noisy, 255),
                    psnr_db(clean, denoised.planes[0], 255),
                    denoiser.sigma,
                    path.parent.name,
                    {
                        peer.name: _measure_peer(
                            *(peer, frame, reference, Path(scratch), config.threads)
                        )
                        for peer in peers
                    },
                )
            )
    return scores


def _measure_peer(
    peer: Peer, noisy: Frame, clean: Frame, folder: Path, threads: int | None
) -> PairPeer:
    """Tune a peer on the middle of an image, and denoise all of it."""
    height, width = (min(side, TUNED_PX) for side in (noisy.height, noisy.width))
    part, truth = (fit(frame, width, height) for frame in (noisy, clean))
    luma = [rgb_to_gray(frame.planes[0]).astype(float) for frame in (part, truth)]

    def error(denoised: Mapping[int, Frame]) -> float:
        return -psnr_db(truth.planes[0], denoised[0].planes[0], 255)

    sigma = float(np.sqrt(np.square(luma[0] - luma[1]).mean()))
    options = tune(peer, [part], sigma, error, [0], folder, threads).options
    (best,) = denoise_with(peer, options, [noisy], folder, threads)
    return PairPeer(psnr_db(clean.planes[0], best.planes[0], 255), options)
