"""Loads the denoiser that a configuration describes."""

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.image import ImageDenoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import OnBuild
from streamdenoise.inference.engine_loader import EngineLoader


def load_denoiser(
    config: DenoiseConfig,
    on_build: OnBuild | None = None,
    *,
    wait_for_engine: bool = True,
) -> Denoiser | ImageDenoiser:
    """Load the denoiser for any model, of video or of single images.

    Args:
        config: the user's choice.
        on_build: reports the progress of building an engine, see `EngineLoader`.
        wait_for_engine: see `wait` of `EngineLoader`.

    Raises:
        StreamDenoiseError: see `Denoiser.load`.
    """
    artifact = open_artifact(config.model)
    if artifact.state_names:
        return load_video_denoiser(config, on_build, wait_for_engine=wait_for_engine)
    loader = _loader(artifact, config, on_build, wait_for_engine)
    return ImageDenoiser(artifact, loader, sigma=config.sigma, strength=config.strength)


def load_video_denoiser(
    config: DenoiseConfig,
    on_build: OnBuild | None = None,
    *,
    wait_for_engine: bool = True,
    half_size: bool = False,
) -> Denoiser:
    """Load the denoiser for a model of video.

    Args:
        config: the user's choice.
        on_build: see `load_denoiser`.
        wait_for_engine: see `wait` of `EngineLoader`.
        half_size: see `Denoiser`.

    Raises:
        StreamDenoiseError: see `Denoiser.load`.
    """
    artifact = open_artifact(config.model)
    loader = _loader(artifact, config, on_build, wait_for_engine)
    return Denoiser(
        artifact,
        loader,
        sigma=config.sigma,
        strength=config.strength,
        half_size=half_size,
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
