"""The commands that report on the installation: models, doctor."""

from typing import Annotated

import typer

from streamdenoise.cli.options import AsJson
from streamdenoise.cli.terminal import say
from streamdenoise.options import Panel


def models(
    licenses: Annotated[
        bool,
        typer.Option(
            "--licenses",
            help="List the data that each was trained on, and its licenses.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the models with their cost, quality and origin.

    The JSON always includes the licenses.
    """
    from streamdenoise.cli.licenses import licenses_table
    from streamdenoise.cli.models import models_json, models_table

    if as_json:
        say(models_json())
    else:
        say(licenses_table() if licenses else models_table())


def doctor(as_json: AsJson = False) -> None:
    """Report what works on this machine, and why the rest does not."""
    from streamdenoise.cli.doctor import report, report_json

    say(report_json() if as_json else report())
