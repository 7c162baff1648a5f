"""What the commands print; everything from outside is escaped."""

import typer

from streamdenoise.security.plain_text import printable, printable_lines


def say(text: str) -> None:
    """Print a result on stdout, of one or several whole lines."""
    typer.echo(printable_lines(text), nl=not text.endswith("\n"))


def print_progress(line: str) -> None:
    """Print a line on stderr, which leaves stdout to results."""
    typer.echo(printable(line), err=True)
