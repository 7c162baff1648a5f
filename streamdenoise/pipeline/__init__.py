"""Source, denoiser and sinks at work together: threads, queues and figures."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.pipeline.pipeline import Output, Pipeline
    from streamdenoise.pipeline.stats import Stats

__all__ = [
    "Output",
    "Pipeline",
    "Stats",
]

__getattr__ = exports(
    __name__,
    {
        "Output": "pipeline",
        "Pipeline": "pipeline",
        "Stats": "stats",
    },
)
