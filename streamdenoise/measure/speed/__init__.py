"""Measures the speed of steps and whole jobs; quality is measured elsewhere."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.measure.speed.bench_report import BenchReport
    from streamdenoise.measure.speed.layers import profile_layers
    from streamdenoise.measure.speed.step_report import StepReport
    from streamdenoise.measure.speed.steps import bench_steps

__all__ = [
    "BenchReport",
    "StepReport",
    "bench_steps",
    "profile_layers",
]

__getattr__ = exports(
    __name__,
    {
        "BenchReport": "bench_report",
        "StepReport": "step_report",
        "bench_steps": "steps",
        "profile_layers": "layers",
    },
)
