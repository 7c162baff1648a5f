"""The commands in their order, and the entry point that runs them."""

import logging
import os
import sys
import threading
from contextlib import suppress

import typer

from streamdenoise.cli import about, engines, measure, run, training
from streamdenoise.cli.app import app
from streamdenoise.console.logs import install_hooks
from streamdenoise.console.process_title import hide_arguments

for _name, _command in {
    "file": run.file_,
    "live": run.live,
    "image": run.image,
    "models": about.models,
    "doctor": about.doctor,
    "bench": measure.bench,
    "eval": measure.eval_,
    "compile": engines.compile_,
}.items():
    app.command(_name)(_command)
app.add_typer(training.train_app)
app.add_typer(engines.engines_app)


def main() -> None:
    """Run the command line tool."""
    hide_arguments()
    install_hooks()
    try:
        # Not `app()`, which puts its own hook for tracebacks in place of ours.
        typer.main.get_command(app)(prog_name="streamdenoise")
    except SystemExit as exc:
        _leave_threads(exc.code)
        raise


def _leave_threads(code: object) -> None:
    """End here and now where a thread is still inside a library, else return.

    FFmpeg that waits for a camera cannot be woken. When it comes back into an
    interpreter that is being taken down, the process dies of a segmentation fault.
    """
    if isinstance(code, int) and any(each.daemon for each in threading.enumerate()):
        logging.shutdown()
        with suppress(OSError):  # nobody reads it any more
            sys.stdout.flush()
        os._exit(code)
