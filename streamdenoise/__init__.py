"""Real-time video denoising for cameras, RTSP streams and recordings."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports
from streamdenoise._version import __version__

if TYPE_CHECKING:
    from streamdenoise.denoisers.denoiser import Denoiser

__all__ = ["Denoiser", "__version__"]

__getattr__ = exports(__name__, {"Denoiser": "denoisers.denoiser"})
