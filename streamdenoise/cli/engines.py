"""The commands that make models and engines: export, compile, engines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamdenoise.cli.checkpoints import export as export_checkpoint
from streamdenoise.cli.help import PanelCommand, PanelGroup
from streamdenoise.cli.options import AsJson, Quiet
from streamdenoise.cli.signals import exit_by_signal, run_until_signal
from streamdenoise.cli.terminal import print_progress, say
from streamdenoise.errors import ConfigError
from streamdenoise.jobs.config import CompileConfig, ExportConfig
from streamdenoise.options import Panel

if TYPE_CHECKING:
    from streamdenoise.jobs.job import StopSwitch


def export(config: ExportConfig) -> None:
    """Export a checkpoint to a model (ONNX, OpenVINO, INT8).

    Prints the path of the model's .json, which --model and `compile` take.
    """
    say(export_checkpoint(config))


def compile_(
    config: CompileConfig,
    quiet: Quiet = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", hidden=True, rich_help_panel=Panel.OUTPUT),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(hidden=True, rich_help_panel=Panel.OUTPUT)
    ] = None,
) -> None:
    """Build the engine of a model for one frame size.

    Engines are kept in `engines` or in the user's cache, and used from there.
    """
    if config.model.endswith(".safetensors") or output or calibration:
        raise ConfigError(
            f"compile {config.model}: run `streamdenoise export {config.model} -o DIR` "
            "to make a model of a checkpoint; compile builds the engine of a model"
        )
    if config.size is None:
        raise ConfigError("compile needs a frame size; give one, such as --size 1080p")
    width, height = config.size

    def build(switch: "StopSwitch") -> str:
        from streamdenoise.console.progress import BuildProgress
        from streamdenoise.inference.backend import EngineOptions
        from streamdenoise.inference.build import make_engine

        return make_engine(
            config.model,
            backend=config.backend,
            precision=config.precision,
            width=width,
            height=height,
            depth=config.depth,
            options=EngineOptions(
                compute_capabilities=config.compute_capabilities,
                hardware_compatible=config.hardware_compatible,
                dynamic=config.dynamic,
            ),
            on_build=BuildProgress(switch.is_stopped, quiet=quiet).step,
        )

    made, switch = run_until_signal(build)
    if not quiet:
        print_progress(made)
    exit_by_signal(switch)


engines_app = typer.Typer(
    name="engines",
    cls=PanelGroup,
    help="List, check and delete the engines of this machine.",
    no_args_is_help=True,
)


@engines_app.command(cls=PanelCommand, name="list")
def engines_list(as_json: AsJson = False) -> None:
    """List the engines, with their size and build time."""
    from streamdenoise.cli.engine_tables import engines_json, engines_table

    say(engines_json() if as_json else engines_table())


@engines_app.command(cls=PanelCommand, name="verify")
def engines_verify() -> None:
    """Check every engine; exit with 1 if one is broken or outdated."""
    from streamdenoise.cli.engine_tables import verify_engines

    text, broken = verify_engines()
    say(text)
    if broken:
        raise typer.Exit(1)


@engines_app.command(cls=PanelCommand, name="prune")
def engines_prune(
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Delete good engines too.", rich_help_panel=Panel.ENGINE
        ),
    ] = False,
) -> None:
    """Delete engines that are broken or outdated.

    Engines of other weights stay, because they may belong to your own models; --all
    deletes them too.
    """
    from streamdenoise.cli.engine_tables import prune_engines

    say(prune_engines(everything))
