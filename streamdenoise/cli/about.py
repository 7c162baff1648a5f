"""The commands that report on the installation: models, doctor."""

import typer


def models() -> None:
    """List the models with their cost, quality and origin."""
    from streamdenoise.cli.models import models_table

    typer.echo(models_table(), nl=False)


def doctor() -> None:
    """Report what works on this machine, and why the rest does not."""
    from streamdenoise.cli.doctor import report as doctor_report

    typer.echo(doctor_report())
