"""The Markdown reference has every command and option, as pages can show them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from streamdenoise.cli.main import app
from streamdenoise.cli.reference import command_line_reference


@pytest.fixture(scope="module")
def reference() -> str:
    return command_line_reference()


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    if hasattr(command, "list_commands"):
        context = command.context_class(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from commands(inner, f"{path} {name}")


def test_it_has_every_command_with_every_option(reference: str):
    parts = re.split(r"^## (.*)$", reference, flags=re.MULTILINE)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    found = dict(commands(typer.main.get_command(app), "streamdenoise"))
    assert list(sections) == list(found)
    assert "streamdenoise train classic" in found
    for path, command in found.items():
        for param in command.params:
            if not getattr(param, "hidden", False):
                name = param.opts[-1]
                listed = param.metavar if name.isidentifier() else name
                assert str(listed) in sections[path], (path, name)
    assert "--calibration" not in sections["streamdenoise compile"]


def test_every_row_of_a_table_has_two_cells(reference: str):
    rows = [line for line in reference.splitlines() if line.startswith("|")]
    assert len(rows) > 80
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 3, row


def test_defaults_and_words_between_angles_are_shown(reference: str):
    assert r"\[default: auto]" in reference
    assert "`--hwaccel <auto\\|none\\|cuda\\|vaapi" in reference
