"""The application: its root options and its handling of errors.

Nothing heavy is imported before a command runs, so that ``--help`` is instant.
"""

import logging
import signal
from typing import Annotated, Any

import typer

from streamdenoise._version import __version__
from streamdenoise.cli.help import PanelGroup
from streamdenoise.cli.terminal import print_progress, say
from streamdenoise.console.logs import configure_logging, logs_json
from streamdenoise.errors import (
    SinkRefusedError,
    SourceRefusedError,
    StreamDenoiseError,
)
from streamdenoise.machine import missing_library
from streamdenoise.security.masking import mask_credentials, mask_exception
from streamdenoise.security.plain_text import printable_lines

log = logging.getLogger(__name__)

EXIT_REFUSED = 77
"""A password was refused (EX_NOPERM of sysexits.h): retrying would not help, and may
lock the account."""


class ErrorGroup(PanelGroup):
    """The one place where an expected error becomes a sentence and an exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().make_context(*args, **kwargs)
        except Exception as exc:
            _make_presentable(exc)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StreamDenoiseError as exc:
            _print_error(str(exc))
            refused = isinstance(exc, (SourceRefusedError, SinkRefusedError))
            raise typer.Exit(EXIT_REFUSED if refused else 1) from exc
        except ImportError as exc:
            if not (why := missing_library(exc)):
                raise
            _print_error(why)
            raise typer.Exit(1) from exc
        except OSError as exc:
            if exc.filename is None or exc.strerror is None:
                raise
            # Of a path as it was given: in a closed folder, or too long for the system.
            name, why = mask_credentials(str(exc.filename)), exc.strerror.lower()
            _print_error(f"{name} cannot be used: {why}; check the path")
            raise typer.Exit(1) from exc
        except Exception as exc:
            _make_presentable(exc)
            raise
        except KeyboardInterrupt as exc:
            raise typer.Exit(128 + signal.SIGINT) from exc


def _make_presentable(exc: Exception) -> None:
    """Mask and escape a usage error, which quotes the command line."""
    mask_exception(exc)
    message = getattr(exc, "message", None)
    if isinstance(message, str):
        # It may be the help text, which has lines.
        exc.message = printable_lines(message)  # type: ignore[attr-defined]


def _print_error(text: str) -> None:
    if logs_json():
        log.error("%s", text)
    else:
        print_progress(f"error: {text}")


app = typer.Typer(
    cls=ErrorGroup,
    help="Remove noise from video in real time: live, in files, and in images.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    """Print the version and exit, before a command is looked for."""
    if wanted:
        say(f"streamdenoise {__version__}")
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
        bool, typer.Option("-v", "--verbose", help="Log informational messages.")
    ] = False,
) -> None:
    """Apply the options that belong to no command."""
    configure_logging(logging.INFO if verbose else logging.WARNING)
    # How much GPU memory will be used is logged before it is used.
    logging.getLogger("streamdenoise.budget").setLevel(logging.INFO)
