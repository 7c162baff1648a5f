"""Messages of the commands on stderr."""

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from streamdenoise.cli.signals import exit_by_signal
from streamdenoise.cli.terminal import print_progress, say
from streamdenoise.console.logs import logs_json
from streamdenoise.security.masking import mask_address

if TYPE_CHECKING:
    from streamdenoise.jobs.job import StopSwitch
    from streamdenoise.pipeline.stats import Stats

log = logging.getLogger(__name__)


def report(
    name: str,
    stats: "Stats",
    switch: "StopSwitch",
    quiet: bool,
    as_json: bool = False,
) -> None:
    """Print the summary and the notes of a job; exit if a signal ended it.

    With `as_json` they are also one line of JSON, the only one on stdout.
    """
    from streamdenoise.console.json_text import json_text
    from streamdenoise.console.progress import stats_fields, summary

    name = "stdout" if name == "-" else mask_address(name)
    if as_json:
        fields = {
            "output": name,
            "stopped": switch.signum is not None,
            "elapsed_s": round(stats.elapsed_s, 3),
            **stats_fields(stats),
            "notes": stats.notes,
        }
        say(json_text(fields, indent=None))
    if logs_json():
        log.info("%s", summary(name, stats), extra=stats_fields(stats))
    elif not quiet:
        with suppress(OSError):  # the terminal that sent SIGHUP is gone
            for line in (summary(name, stats), *(f"note: {n}" for n in stats.notes)):
                print_progress(line)
    exit_by_signal(switch)
