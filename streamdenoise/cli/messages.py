"""Messages of the commands on stderr."""

import logging
from typing import TYPE_CHECKING

import typer

from streamdenoise.cli.signals import exit_by_signal
from streamdenoise.console.logs import logs_json
from streamdenoise.masking import mask_address

if TYPE_CHECKING:
    from streamdenoise.jobs.job import StopSwitch
    from streamdenoise.pipeline.stats import Stats

log = logging.getLogger(__name__)


def report(name: str, stats: "Stats", switch: "StopSwitch", quiet: bool) -> None:
    """Print the summary and the notes of a job; exit if a signal ended it."""
    from streamdenoise.console.progress import stats_fields, summary

    name = "stdout" if name == "-" else mask_address(name)
    if logs_json():
        log.info("%s", summary(name, stats), extra=stats_fields(stats))
    elif not quiet:
        for line in (summary(name, stats), *(f"note: {n}" for n in stats.notes)):
            typer.echo(line, err=True)
    exit_by_signal(switch)


def print_progress(line: str) -> None:
    """Print a line of progress on stderr, which leaves stdout to results."""
    typer.echo(line, err=True)
