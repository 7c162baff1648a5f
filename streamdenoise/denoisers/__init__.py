"""Denoisers: noisy frames in, clean frames out; no threads, files or decoders."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.denoisers.adaptive import AdaptiveDenoiser
    from streamdenoise.denoisers.batch import StreamBatch
    from streamdenoise.denoisers.denoiser import Denoiser
    from streamdenoise.denoisers.image import ImageDenoiser
    from streamdenoise.denoisers.load import load_denoiser, load_video_denoiser
    from streamdenoise.denoisers.options import DenoiseConfig

__all__ = [
    "AdaptiveDenoiser",
    "DenoiseConfig",
    "Denoiser",
    "ImageDenoiser",
    "StreamBatch",
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
        "StreamBatch": "batch",
        "load_denoiser": "load",
        "load_video_denoiser": "load",
    },
)
