"""The commands that train: train RECIPE, train classic."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamdenoise.cli.checkpoints import need_torch
from streamdenoise.cli.help import PanelCommand, PanelGroup
from streamdenoise.cli.messages import tell
from streamdenoise.cli.signature import flattened
from streamdenoise.cli.training_code import training_module

if TYPE_CHECKING:
    from train.classic.config import ClassicConfig
else:
    ClassicConfig = training_module("classic.config").ClassicConfig


class RecipeOrCommand(PanelGroup):
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


@train_app.command("recipe", cls=PanelCommand)
def train_recipe(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="A recipe file, or the name of a built-in recipe, such as nano_awgn.",
            metavar="RECIPE",
        ),
    ],
) -> None:
    """Train a video model from a recipe.

    The word `recipe` may be left out.
    """
    need_torch("train")
    training_module("loop").main(str(recipe))


def train_classic(config: ClassicConfig) -> None:
    """Train textbook networks on images and compare them."""
    report = training_module("classic.report")
    typer.echo(report.train_and_report(config, tell), nl=False)


train_app.command("classic", cls=PanelCommand)(
    flattened(train_classic, before=partial(need_torch, "train classic"))
)
