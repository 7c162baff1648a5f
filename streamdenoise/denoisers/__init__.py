"""Denoisers: noisy frames in, clean frames out; no threads, files or decoders."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.denoisers.adaptive import AdaptiveDenoiser
    from streamdenoise.denoisers.batch import StreamBatch
    from streamdenoise.denoisers.denoiser import Denoiser
    from streamdenoise.denoisers.image import ImageDenoiser
    from streamdenoise.denoisers.load import load_denoiser, load_video_denoiser
    from streamdenoise.denoisers.noise_level import NoiseLevel
    from streamdenoise.denoisers.options import DenoiseConfig
    from streamdenoise.denoisers.saved_profile import SavedProfile
    from streamdenoise.denoisers.strength import Strength

__all__ = [
    "AdaptiveDenoiser",
    "DenoiseConfig",
    "Denoiser",
    "ImageDenoiser",
    "NoiseLevel",
    "SavedProfile",
    "StreamBatch",
    "Strength",
    "load_denoiser",
    "load_video_denoiser",
]

__getattr__ = exports(
    __name__,
    {
        "AdaptiveDenoiser": "adaptive",
        "DenoiseConfig": "options",
        "Denoiser": "denoiser",
        "ImageDenoiser": "image",
        "NoiseLevel": "noise_level",
        "SavedProfile": "saved_profile",
        "StreamBatch": "batch",
        "Strength": "strength",
        "load_denoiser": "load",
        "load_video_denoiser": "load",
    },
)
