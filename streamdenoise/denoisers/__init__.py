"""The stateful step: noisy frames in, clean frames out. No threads and no files."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.denoisers.batch import StreamBatch
    from streamdenoise.denoisers.denoiser import Denoiser
    from streamdenoise.denoisers.options import DenoiseConfig

__all__ = [
    "DenoiseConfig",
    "Denoiser",
    "StreamBatch",
]

__getattr__ = exports(
    __name__,
    {
        "DenoiseConfig": "options",
        "Denoiser": "denoiser",
        "StreamBatch": "batch",
    },
)
