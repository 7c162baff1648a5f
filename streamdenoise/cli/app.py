"""The application: its root options, and what becomes of errors.

Nothing heavy is imported before a command runs, so that ``--help`` is instant.
"""

import logging
import signal
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from streamdenoise._version import __version__
from streamdenoise.console.logs import configure_logging, logs_json
from streamdenoise.errors import (
    SinkRefusedError,
    SourceRefusedError,
    StreamDenoiseError,
)
from streamdenoise.masking import mask_exception

log = logging.getLogger(__name__)

EXIT_REFUSED = 77
"""A password was refused (EX_NOPERM of sysexits.h): starting again would not help, and
may lock the account."""


class ErrorGroup(TyperGroup):
    """The one place where an expected error becomes a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StreamDenoiseError as exc:
            if logs_json():
                log.error("%s", exc)
            else:
                typer.echo(f"error: {exc}", err=True)
            refused = isinstance(exc, (SourceRefusedError, SinkRefusedError))
            raise typer.Exit(EXIT_REFUSED if refused else 1) from exc
        except Exception as exc:
            mask_exception(exc)  # errors of usage quote what was typed
            raise
        except KeyboardInterrupt as exc:
            raise typer.Exit(128 + signal.SIGINT) from exc


app = typer.Typer(
    cls=ErrorGroup,
    help="Make noisy video clean: live, in files, in pictures.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich alone takes as long to import as all of the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    """Do what ``--version`` asks for, before a command is looked for."""
    if wanted:
        typer.echo(f"streamdenoise {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=print_version,
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log what is going on.")
    ] = False,
) -> None:
    """Read the options that belong to no command."""
    configure_logging(logging.INFO if verbose else logging.WARNING)
    # What will be taken of the GPU's memory is told before it is taken.
    logging.getLogger("streamdenoise.budget").setLevel(logging.INFO)
