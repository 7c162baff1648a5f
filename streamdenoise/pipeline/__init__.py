"""Runs a source, a denoiser and outputs together; knows no files, cameras or models."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
    from streamdenoise.pipeline.live_rules import LiveRules
    from streamdenoise.pipeline.pipeline import Pipeline
    from streamdenoise.pipeline.queue import Overflow
    from streamdenoise.pipeline.stats import Stats
    from streamdenoise.pipeline.writer import Output

__all__ = [
    "FrameDenoiser",
    "LiveRules",
    "Output",
    "Overflow",
    "Pipeline",
    "Stats",
]

__getattr__ = exports(
    __name__,
    {
        "FrameDenoiser": "frame_denoiser",
        "LiveRules": "live_rules",
        "Output": "writer",
        "Overflow": "queue",
        "Pipeline": "pipeline",
        "Stats": "stats",
    },
)
