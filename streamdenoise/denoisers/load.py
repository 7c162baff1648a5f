"""Loads the denoiser that a configuration describes."""

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.family import LARGEST
from streamdenoise.denoisers.image import ImageDenoiser
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.options import AUTO, DenoiseConfig
from streamdenoise.denoisers.strength import Strength
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import OnBuild
from streamdenoise.inference.engine_loader import EngineLoader


def load_denoiser(
    config: DenoiseConfig,
    on_build: OnBuild | None = None,
    *,
    wait_for_engine: bool = True,
    single_images: bool = False,
) -> Denoiser | ImageDenoiser:
    """Load the denoiser for any model, of video or of single images.

    Args:
        config: the user's choice.
        on_build: reports the progress of building an engine, see `EngineLoader`.
        wait_for_engine: see `wait` of `EngineLoader`.
        single_images: see `Denoiser` and `NoiseLevel`.

    Raises:
        StreamDenoiseError: see `Denoiser.load`.
    """
    artifact = _artifact(config.model)
    if artifact.state_names:
        return load_video_denoiser(
            config,
            on_build,
            wait_for_engine=wait_for_engine,
            single_images=single_images,
        )
    loader = _loader(artifact, config, on_build, wait_for_engine)
    return ImageDenoiser(
        artifact,
        loader,
        noise=_noise(config, single_images=True),
        strength=_strength(config),
    )


def load_video_denoiser(
    config: DenoiseConfig,
    on_build: OnBuild | None = None,
    *,
    wait_for_engine: bool = True,
    half_size: bool = False,
    single_images: bool = False,
) -> Denoiser:
    """Load the denoiser for a model of video.

    Args:
        config: the user's choice.
        on_build: see `load_denoiser`.
        wait_for_engine: see `wait` of `EngineLoader`.
        half_size: see `Denoiser`.
        single_images: see `Denoiser` and `NoiseLevel`.

    Raises:
        StreamDenoiseError: see `Denoiser.load`.
    """
    artifact = _artifact(config.model)
    loader = _loader(artifact, config, on_build, wait_for_engine)
    return Denoiser(
        artifact,
        loader,
        noise=_noise(config, single_images),
        strength=_strength(config),
        half_size=half_size,
        single_images=single_images,
        tile=config.tile,
    )


def _artifact(model: str) -> Artifact:
    return open_artifact(LARGEST if model == AUTO else model)


def _noise(config: DenoiseConfig, single_images: bool) -> NoiseLevel:
    return NoiseLevel(
        config.sigma,
        profile=config.noise_profile,
        region=config.profile_region,
        single_images=single_images,
    )


def _strength(config: DenoiseConfig) -> Strength:
    return Strength(
        config.strength,
        luma=config.strength_luma,
        chroma=config.strength_chroma,
        spared=config.spared,
    )


def _loader(
    artifact: Artifact, config: DenoiseConfig, on_build: OnBuild | None, wait: bool
) -> EngineLoader:
    loader = EngineLoader(
        artifact,
        backend=config.backend,
        threads=config.threads,
        tile=config.tile,
        wait=wait,
        on_build=on_build,
    )
    loader.check()
    return loader
