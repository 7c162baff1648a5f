"""The commands around engines: compile, and engines list, verify and prune."""

from pathlib import Path
from typing import Annotated

import typer

from streamdenoise.cli.checkpoints import compile_checkpoint, need_torch
from streamdenoise.cli.options import BackendName, Quiet
from streamdenoise.cli.signals import stop_by_signal
from streamdenoise.errors import ConfigError
from streamdenoise.units import parse_size


def compile_(
    model: Annotated[
        str, typer.Argument(help="A model's name or .json, or a .safetensors.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for a checkpoint's files.")
    ] = Path("engines"),
    calibration: Annotated[
        Path | None, typer.Option(help="Clean clips for INT8; none leaves it out.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Build an engine: 720p, 1080p, 2160p or WxH.")
    ] = None,
    backend: BackendName = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16 or int8; the backend's if not told.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Bits per sample: 8 or 10.")] = 8,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(help="GPU to build for, such as 8.6; may be repeated."),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option(
            help="Also for later versions of the runtime, up to the next major."
        ),
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option(help="Also for other GPUs, from Ampere (8.0) on.")
    ] = False,
    dynamic: Annotated[
        bool, typer.Option(help="One engine for all sizes up to --size.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compile a checkpoint to a model, and a model to an engine for one size.

    Engines are kept in `engines` or the user's cache, and used from there.
    """
    if model.endswith(".safetensors"):
        need_torch("compile")
        model = compile_checkpoint(Path(model), output, calibration)
        typer.echo(model)
    elif size is None:
        raise ConfigError(
            f"{model} is compiled already; give --size, such as --size 1080p, to build "
            "an engine of it"
        )
    if size is None:
        return
    width, height = parse_size(size)
    with stop_by_signal() as switch:
        from streamdenoise.console.progress import BuildProgress
        from streamdenoise.inference.backend import EngineOptions
        from streamdenoise.inference.build import make_engine

        progress = BuildProgress(switch.is_stopped, quiet=quiet)
        options = EngineOptions(
            tuple(compute_capability or ()),
            version_compatible,
            hardware_compatible,
            dynamic,
        )
        made = make_engine(
            *(model, backend, precision, width, height, depth, options),
            progress.step,
        )
    if not quiet:
        typer.echo(made, err=True)
    if switch.signum is not None:
        raise typer.Exit(128 + switch.signum)


engines_app = typer.Typer(
    name="engines", help="Look after the engines that were built.", no_args_is_help=True
)


@engines_app.command("list")
def engines_list() -> None:
    """List the engines, what they are for and how long they took."""
    from streamdenoise.cli.engine_tables import engines_table

    typer.echo(engines_table(), nl=False)


@engines_app.command("verify")
def engines_verify() -> None:
    """Read every engine; exit with 1 if one is broken or of another version."""
    from streamdenoise.cli.engine_tables import verify_engines

    text, broken = verify_engines()
    typer.echo(text, nl=False)
    if broken:
        raise typer.Exit(1)


@engines_app.command("prune")
def engines_prune(
    everything: Annotated[
        bool, typer.Option("--all", help="Delete good engines too.")
    ] = False,
) -> None:
    """Delete engines that are broken, or of other versions of their runtime.

    Those of other weights stay: they may be of a model of yours. --all takes them too.
    """
    from streamdenoise.cli.engine_tables import prune_engines

    typer.echo(prune_engines(everything), nl=False)
