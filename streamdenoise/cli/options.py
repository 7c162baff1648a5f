"""Options of the command line itself, which no config holds."""

import logging
from typing import Annotated

import typer

from streamdenoise.console.logs import LogFormat as _LogFormat
from streamdenoise.console.logs import configure_logging
from streamdenoise.options import Panel


def _silence(quiet: bool) -> bool:
    if quiet:
        logging.disable(logging.WARNING)
    return quiet


def _log_as(log_format: _LogFormat) -> _LogFormat:
    """Log in this format; JSON always includes informational messages."""
    level = logging.getLogger().getEffectiveLevel()
    if log_format is _LogFormat.JSON:
        level = min(level, logging.INFO)
    configure_logging(level, log_format)
    return log_format


Quiet = Annotated[
    bool,
    typer.Option(
        "-q",
        "--quiet",
        help="Print errors only.",
        callback=_silence,
        rich_help_panel=Panel.MONITORING,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print JSON on stdout.", rich_help_panel=Panel.OUTPUT),
]
LogFormat = Annotated[
    _LogFormat,
    typer.Option(
        help="Log format on stderr.", callback=_log_as, rich_help_panel=Panel.MONITORING
    ),
]
