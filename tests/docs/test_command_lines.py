"""Every command line of the pages parses; nothing runs."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.pages import PAGES, blocks, commands
from tests.support.command import ROOT, app

COMMANDS = [
    pytest.param(command, id=f"{block}: {' '.join(command)[:60]}")
    for page in PAGES
    for block in blocks(page)
    for command in commands(block)
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def parse(arguments: list[str]) -> None:
    """Read the arguments of `streamdenoise` as the program does, down to the command.

    Raises:
        Exception: it would refuse them.
    """
    command: Any = typer.main.get_command(app)
    name = "streamdenoise"
    while hasattr(command, "resolve_command"):
        context = command.context_class(command, info_name=name)
        name, command, arguments = command.resolve_command(context, arguments)
    command.make_context(name, arguments)


def module_file(name: str) -> Path:
    """The file that ``python -m NAME`` runs."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"there is no module {name}"
    if spec.submodule_search_locations:
        return module_file(f"{name}.__main__")
    assert spec.origin is not None
    return Path(spec.origin)


def check_options(file: Path, arguments: list[str]) -> None:
    """Each ``--option`` is named in the file of the program."""
    source = file.read_text()
    for argument in arguments:
        if argument.startswith("--"):
            option = argument.partition("=")[0]
            assert re.search(rf"{option}\b(?!-)", source), f"{file} has no {option}"


def check_pytest(arguments: list[str]) -> None:
    markers = [each.partition(":")[0] for each in _pytest_options()["markers"]]
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("tests/"):
            assert (ROOT / argument.partition("::")[0]).exists(), argument
        if before == "-m":
            names = set(re.findall(r"\w+", argument)) - {"and", "or", "not"}
            assert names <= set(markers)


def _pytest_options() -> dict[str, Any]:
    return PROJECT["tool"]["pytest"]["ini_options"]


def check(command: list[str]) -> None:
    """Parse a command of a program that this project knows; others pass."""
    match command:
        case ["streamdenoise", *arguments]:
            parse(arguments)
        case ["pytest", *arguments] | ["python", "-m", "pytest", *arguments]:
            check_pytest(arguments)
        case ["python" | "python3", "-m", "venv", *_]:
            pass
        case ["python", "-m", module, *arguments]:
            check_options(module_file(module), arguments)
        case ["python" | "bash", file, *arguments]:
            check_options(ROOT / file, arguments)
        case ["just", *recipes]:
            text = (ROOT / "justfile").read_text()
            known = re.findall(r"^([a-z][\w-]*)(?: .*)?:(?!=)", text, re.MULTILINE)
            assert set(recipes) <= set(known)
        case ["pip", "install", *arguments]:
            extras = re.findall(r"\.\[([\w,-]+)\]", " ".join(arguments))
            known = PROJECT["project"]["optional-dependencies"]
            assert {each for names in extras for each in names.split(",")} <= set(known)
        case _:
            pass


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_line_parses(command: list[str]) -> None:
    check(command)


def test_the_pages_have_commands_of_every_kind() -> None:
    programs = [param.values[0][0] for param in COMMANDS]  # pyright: ignore
    assert programs.count("streamdenoise") > 25
    assert {"bash", "just", "pip", "pytest", "python"} <= set(programs)


@pytest.mark.parametrize(
    "command",
    [
        "streamdenoise file a.mp4 -o b.mp4 --no-such-option",
        "streamdenoise no-such-command",
        "streamdenoise engines no-such-command",
        "python -m tests.faults.no_such_module",
        "python -m tests.faults.soak --no-such-option",
        "bash tests/no_such_file.sh",
        "pytest tests/no_such_file.py",
        "pytest -m no_such_marker",
        "just no-such-recipe",
        "pip install .[no-such-extra]",
    ],
)
def test_a_wrong_command_line_is_found(command: str) -> None:
    with pytest.raises(Exception, match=r"."):
        check(command.split())
