"""Measures denoising of real footage, which has no clean version."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.measure.quality.real.clip import RealClip
    from streamdenoise.measure.quality.real.score import RealScore

__all__ = [
    "RealClip",
    "RealScore",
]

__getattr__ = exports(
    __name__,
    {
        "RealClip": "clip",
        "RealScore": "score",
    },
)
