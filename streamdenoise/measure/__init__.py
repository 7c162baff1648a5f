"""Measures quality and speed, also of other denoisers; denoising does not need it."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.measure.config import BenchConfig, EvalConfig, ProfileConfig
    from streamdenoise.measure.noise_profile import measure_profile
    from streamdenoise.measure.quality.evaluate import evaluate
    from streamdenoise.measure.quality.markdown import markdown
    from streamdenoise.measure.quality.report import EvalReport
    from streamdenoise.measure.speed.bench import bench
    from streamdenoise.measure.speed.steps import bench_steps

__all__ = [
    "BenchConfig",
    "EvalConfig",
    "EvalReport",
    "ProfileConfig",
    "bench",
    "bench_steps",
    "evaluate",
    "markdown",
    "measure_profile",
]

__getattr__ = exports(
    __name__,
    {
        "EvalConfig": "config",
        "EvalReport": "quality.report",
        "BenchConfig": "config",
        "ProfileConfig": "config",
        "bench": "speed.bench",
        "bench_steps": "speed.steps",
        "evaluate": "quality.evaluate",
        "markdown": "quality.markdown",
        "measure_profile": "noise_profile",
    },
)
