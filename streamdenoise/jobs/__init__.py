"""The jobs of the command line, each as one library call; no parsing, no printing."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.jobs.config import FileConfig, ImageConfig, LiveConfig
    from streamdenoise.jobs.images import denoise_images
    from streamdenoise.jobs.job import StopSwitch
    from streamdenoise.jobs.live import denoise_live
    from streamdenoise.jobs.offline import denoise_file

__all__ = [
    "FileConfig",
    "ImageConfig",
    "LiveConfig",
    "StopSwitch",
    "denoise_file",
    "denoise_images",
    "denoise_live",
]

__getattr__ = exports(
    __name__,
    {
        "FileConfig": "config",
        "ImageConfig": "config",
        "LiveConfig": "config",
        "StopSwitch": "job",
        "denoise_file": "offline",
        "denoise_images": "images",
        "denoise_live": "live",
    },
)
