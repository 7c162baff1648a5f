"""The commands that say what is here: models, doctor."""

import typer


def models() -> None:
    """List the models that come with the package, and where they are from."""
    from streamdenoise.cli.models import models_table

    typer.echo(models_table(), nl=False)


def doctor() -> None:
    """Tell what works on this machine, and why the rest does not."""
    from streamdenoise.cli.doctor import report as doctor_report

    typer.echo(doctor_report())
