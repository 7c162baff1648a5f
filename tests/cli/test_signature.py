"""Commands get the options that dataclasses declare, and give back the dataclasses."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner, Result

from streamdenoise.cli.help import PanelCommand
from streamdenoise.cli.signature import flattened
from streamdenoise.errors import ConfigError
from streamdenoise.options import Argument, Option, Panel


class Shape(StrEnum):
    ROUND = "round"
    SQUARE = "square"


def double(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{text} is not a number")
    return 2 * int(text)


@dataclass(frozen=True)
class Inner:
    name: Annotated[str, Option("A name.", Panel.HARDWARE)] = "inner"
    doubled: Annotated[int, Option("A number.", Panel.NOISE, parse=double)] = 7
    shown: Annotated[int, Option("A number.", Panel.NOISE, parse=double, shown="4")] = 8
    kept: int = 5
    """No option."""


@dataclass(frozen=True)
class Config:
    source: Annotated[str, Argument("A source.", "SOURCE")]
    output: Annotated[str, Option("A sink.", Panel.OUTPUT, "-o", "--output")]
    inner: Inner = field(default_factory=lambda: Inner(name="outer", kept=6))
    shape: Annotated[Shape, Option("A shape.", Panel.INPUT)] = Shape.ROUND
    items: Annotated[tuple[int, ...], Option("Items.", Panel.INPUT, "--item")] = (1, 2)
    pairs: Annotated[
        dict[str, str],
        Option(
            "Pairs.",
            Panel.INPUT,
            "--pair",
            parse=lambda texts: dict(text.split("=") for text in texts),
            repeats=True,
        ),
    ] = field(default_factory=dict)
    on: Annotated[bool, Option("Switch off.", Panel.INPUT)] = True
    off: Annotated[bool, Option("Switch on.", Panel.INPUT)] = False
    either: Annotated[bool | None, Option("Switch.", Panel.INPUT)] = None


def run(*args: str) -> tuple[Config | None, Result]:
    made: list[Config] = []

    def command(config: Config) -> None:
        """Do it."""
        made.append(config)

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=PanelCommand)(flattened(command))
    result = CliRunner().invoke(app, args)
    return (made[0] if made else None), result


def test_the_defaults_are_those_of_the_config():
    made, _ = run("here", "-o", "there")
    assert made == Config("here", "there")
    assert made is not None
    assert made.inner == Inner("outer", 7, 8, 6)


def test_every_option_reaches_its_field():
    made, result = run(
        *("here", "--output", "there", "--name", "x", "--doubled", "21"),
        *("--shown", "1", "--shape", "square", "--item", "3", "--item", "4"),
        *("--pair", "a=b", "--pair", "c=d", "--no-on", "--off", "--no-either"),
    )
    assert made == Config(
        *("here", "there", Inner("x", 42, 2, 6), Shape.SQUARE, (3, 4)),
        *({"a": "b", "c": "d"}, False, True, False),
    ), result.output


@pytest.mark.parametrize(
    "args", [(), ("here",), ("here", "-o", "x", "--kept", "3"), ("--no-off",)]
)
def test_missing_and_undeclared_options_are_usage_errors(args: tuple[str, ...]):
    made, result = run(*args)
    assert made is None
    assert result.exit_code == 2


def test_a_value_that_cannot_be_parsed_is_refused_by_the_options_name():
    made, result = run("here", "-o", "x", "--doubled", "two")
    assert made is None
    assert str(result.exception) == "--doubled: two is not a number"


def test_help_lists_options_by_panel_with_their_defaults():
    _, result = run("--help")
    lines = result.output.splitlines()
    headings = [line for line in lines if line.endswith(":") and line[0] != " "]
    assert headings == [
        *("Arguments:", "Input:", "Noise:", "Output:", "Hardware:", "Help:"),
    ]
    assert "  --name <str>  A name.  [default: outer]" in lines
    assert "  --shown <str>    A number.  [default: 4]" in lines
    assert "--on / --no-on" in result.output
    assert "--no-off" not in result.output
