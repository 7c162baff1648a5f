"""Measures quality and speed, also of other denoisers; denoising does not need it."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.measure.config import BenchConfig, EvalConfig
    from streamdenoise.measure.quality.evaluate import evaluate
    from streamdenoise.measure.quality.markdown import markdown
    from streamdenoise.measure.quality.report import EvalReport
    from streamdenoise.measure.speed.bench import bench
    from streamdenoise.measure.speed.steps import bench_steps

__all__ = [
    "BenchConfig",
    "EvalConfig",
    "EvalReport",
    "bench",
    "bench_steps",
    "evaluate",
    "markdown",
]

__getattr__ = exports(
    __name__,
    {
        "EvalConfig": "config",
        "EvalReport": "quality.report",
        "BenchConfig": "config",
        "bench": "speed.bench",
        "bench_steps": "speed.steps",
        "evaluate": "quality.evaluate",
        "markdown": "quality.markdown",
    },
)
