"""The commands that train: train RECIPE, train classic."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from streamdenoise.cli.checkpoints import need_torch
from streamdenoise.cli.messages import tell
from streamdenoise.cli.training_code import training_module


class RecipeOrCommand(TyperGroup):
    """`train RECIPE`, beside `train` with a command of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["recipe", *args]
        return super().parse_args(ctx, args)


train_app = typer.Typer(
    name="train",
    cls=RecipeOrCommand,
    help="Train a model: `train RECIPE.toml`, or `train classic NAME`.",
    no_args_is_help=True,
)


@train_app.command("recipe")
def train_recipe(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="A recipe file, or the name of a built-in recipe, such as nano_awgn."
        ),
    ],
) -> None:
    """Train a model of video from a recipe; the word `recipe` may be left out."""
    need_torch("train")
    training_module("loop").main(str(recipe))


@train_app.command("classic")
def train_classic(
    names: Annotated[
        str,
        typer.Argument(
            metavar="NAME[,NAME...]",
            help="cnn4dn, autoencoder_pool, autoencoder_strided, autoencoder_mnist, "
            "unet, resnet, dncnn, ffdnet, nano, or all.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder of the report and the runs: runs/NAME."
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(help="mnist (in data/mnist), an IDX file, or a folder.")
    ] = "mnist",
    color: Annotated[
        bool, typer.Option("--color", help="Networks for RGB, not for gray.")
    ] = False,
    noise: Annotated[
        str, typer.Option(help="gaussian, poisson, salt-pepper, speckle or camera.")
    ] = "gaussian",
    sigma: Annotated[
        str, typer.Option(help="Noise in 8-bit levels, or a range such as 0-55.")
    ] = "25",
    clip: Annotated[
        bool, typer.Option(help="Clip noisy pictures to black and white.")
    ] = True,
    loss: Annotated[str, typer.Option(help="mse, bce, l1 or charbonnier.")] = "mse",
    epochs: Annotated[
        int | None,
        typer.Option(help="100, or as many as --minutes allow if those are given."),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(help="CPU time of each run, of all threads; no early stop then."),
    ] = 0.0,
    batch: Annotated[int, typer.Option(help="Pictures of a step.")] = 32,
    split: Annotated[str, typer.Option(help="Train and test.")] = "80:20",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    width: Annotated[
        int, typer.Option(help="Channels inside; 0 for each network's own.")
    ] = 0,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="Try all of lr=1e-3,3e-4, batch=.. or width=..; repeat it."),
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(help="Flip, turn, scale; photographs only if not told."),
    ] = None,
    resize: Annotated[
        int, typer.Option(help="Make pictures squares of this side, such as 256.")
    ] = 0,
    crop: Annotated[
        int,
        typer.Option(help="Side that is learned from, of photographs; 0 is all of it."),
    ] = 64,
    crops: Annotated[int, typer.Option(help="Of each photograph, in an epoch.")] = 8,
    patience: Annotated[
        int, typer.Option(help="Epochs without progress before the end; 0: never.")
    ] = 10,
    seed: Annotated[
        int, typer.Option(help="Of weights, split, and what is learned from.")
    ] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was interrupted.")
    ] = False,
) -> None:
    """Train textbook networks on pictures, compare them, and write a report."""
    need_torch("train classic")
    training = training_module("classic.config")
    config = training.ClassicConfig(
        networks=training.parse_names(names),
        output=output or Path("runs") / names.replace(",", "+"),
        data=data,
        channels=3 if color else 1,
        noise=training_module("classic.noise").ImageNoise(
            noise, training.parse_levels(sigma), clip
        ),
        loss=loss,
        epochs=epochs if epochs is not None else 0 if minutes else 100,
        minutes=minutes,
        batch=batch,
        split=training.parse_split(split),
        lr=lr,
        width=width,
        grid=training.parse_grid(grid or []),
        augment=augment,
        resize=resize,
        crop=crop,
        crops=crops,
        patience=patience,
        seed=seed,
        threads=threads,
        resume=resume,
    )
    report = training_module("classic.report")
    typer.echo(report.train_and_report(config, tell), nl=False)
