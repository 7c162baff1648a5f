"""The commands that train: train RECIPE, train classic."""

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamdenoise.cli.checkpoints import need_training
from streamdenoise.cli.help import PanelCommand, PanelGroup
from streamdenoise.cli.signature import flattened
from streamdenoise.cli.terminal import print_progress, say
from streamdenoise.cli.training_code import training_module

if TYPE_CHECKING:
    from train.classic.config import ClassicConfig


class TrainGroup(PanelGroup):
    """`train RECIPE` and `train classic`; the latter is only made when needed.

    Its options are declared in the training code, which other commands do not import.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            args = ["recipe", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), "classic"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name == "classic":
            return _classic_command()
        return super().get_command(ctx, cmd_name)


train_app = typer.Typer(
    name="train",
    cls=TrainGroup,
    help="Train a model: `train RECIPE`, or `train classic NAMES`.",
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
    need_training("train")
    training_module("loop").main(str(recipe))


@cache
def _classic_command() -> Any:
    def classic(config: "ClassicConfig") -> None:
        """Train textbook networks on images and compare them."""
        report = training_module("classic.report")
        say(report.train_and_report(config, print_progress))

    classic.__annotations__["config"] = training_module("classic.config").ClassicConfig
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command("classic", cls=PanelCommand)(
        flattened(classic, before=partial(need_training, "train classic"))
    )
    return typer.main.get_command(app)
