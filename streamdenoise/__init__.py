"""Real-time video denoising for cameras, RTSP streams and recordings."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamdenoise.denoisers.denoiser import Denoiser

__all__ = ["Denoiser", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on use, so that `streamdenoise --help` needs nothing heavy.
    if name == "Denoiser":
        from streamdenoise.denoisers.denoiser import Denoiser

        return Denoiser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
