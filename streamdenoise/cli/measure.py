"""The commands that measure: bench, eval."""

from typing import Annotated

import typer

from streamdenoise.cli.messages import print_progress
from streamdenoise.measure.config import BenchConfig, EvalConfig
from streamdenoise.options import Panel


def bench(
    config: BenchConfig,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON instead of the table.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = False,
) -> None:
    """Measure speed and PSNR, compared with FFmpeg's denoisers.

    With --backend, compare the engine step alone with the limits of this machine.
    """
    if config.backends:
        from streamdenoise.measure.speed.steps import bench_steps as measure
    else:
        from streamdenoise.measure.speed.bench import bench as measure

    result = measure(config, on_progress=print_progress)
    if config.output is not None:
        result.write(config.output)
    typer.echo(result.json() if as_json else result.markdown(), nl=False)


def eval_(config: EvalConfig) -> None:
    """Measure quality, on clean clips with added noise and on real noise."""
    from streamdenoise.measure.quality.evaluate import evaluate
    from streamdenoise.measure.quality.markdown import markdown

    typer.echo(markdown(evaluate(config, on_progress=print_progress)), nl=False)
