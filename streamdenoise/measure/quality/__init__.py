"""Measures quality, on added and on real noise; speed is measured elsewhere."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.measure.quality.report import EvalReport

__all__ = [
    "EvalReport",
]

__getattr__ = exports(
    __name__,
    {
        "EvalReport": "report",
    },
)
