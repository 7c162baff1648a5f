"""All commands in the order of ``--help``, and the entry point that runs them."""

import logging
import os
import sys
import threading
from contextlib import suppress

import typer

from streamdenoise.cli import about, engines, measure, run, serve, training
from streamdenoise.cli.app import app
from streamdenoise.cli.front import run_in_child
from streamdenoise.cli.help import PanelCommand
from streamdenoise.cli.signature import flattened
from streamdenoise.console.logs import install_hooks
from streamdenoise.console.process_title import hide_arguments

COMMANDS = {
    "Denoise": (run.file, run.live, run.image),
    "Many cameras": (serve.serve,),
    "Measure": (measure.bench, measure.eval_, measure.profile),
    "Train and build": (training.train_app, engines.export, engines.compile_),
    "This machine": (about.models, engines.engines_app, about.doctor),
}
"""Heading in ``--help`` -> commands, and groups of commands."""

for heading, members in COMMANDS.items():
    for member in members:
        if isinstance(member, typer.Typer):
            app.add_typer(member, rich_help_panel=heading)
        else:
            name = member.__name__.rstrip("_")
            register = app.command(name, cls=PanelCommand, rich_help_panel=heading)
            register(flattened(member))


def main() -> None:
    """Run the command line tool."""
    hide_arguments()
    if not {job.__name__ for job in COMMANDS["Denoise"]}.isdisjoint(sys.argv[1:]):
        run_in_child(restarts=run.live.__name__ in sys.argv[1:2])
    install_hooks()
    try:
        run_command()
    except SystemExit as exc:
        _leave_threads(exc.code)
        raise


def run_command(arguments: list[str] | None = None) -> None:
    """Run a command, by default that of the command line; ends with `SystemExit`."""
    # Not `app()`, which puts its own hook for tracebacks in place of ours.
    typer.main.get_command(app)(arguments, prog_name="streamdenoise")


def _leave_threads(code: object) -> None:
    """End the process at once if a thread is still inside a library, else return.

    FFmpeg cannot be interrupted while it waits for a camera or for a disk that hangs.
    If it then returned to an interpreter that shuts down, the process would crash.
    """
    if isinstance(code, int) and any(each.daemon for each in threading.enumerate()):
        logging.shutdown()
        with suppress(OSError):  # stdout may be closed
            sys.stdout.flush()
        os._exit(code)
