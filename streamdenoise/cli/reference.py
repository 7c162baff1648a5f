"""The reference of all commands and options, as Markdown; made from what declares them.

``python -m streamdenoise.cli.reference`` prints it.
"""

from collections.abc import Iterator
from typing import Any

import typer

from streamdenoise.cli.help import records_by_panel
from streamdenoise.cli.main import app


def command_line_reference() -> str:
    """Every command with its usage, arguments and options, in the order of ``--help``.

    Each command has a heading of the second level, each panel a table.
    """
    root: Any = typer.main.get_command(app)
    context = _context(root, None)
    return "\n".join(_section(context)).rstrip() + "\n"


def _context(command: Any, parent: Any) -> Any:
    name = command.name if parent else "streamdenoise"
    return command.context_class(command, info_name=name, parent=parent)


def _section(context: Any) -> Iterator[str]:
    """The lines of a command, then those of the commands below it."""
    command = context.command
    yield f"## {context.command_path}"
    yield ""
    yield "```text"
    yield command.get_usage(context).removeprefix("Usage: ")
    yield "```"
    yield ""
    for paragraph in (command.help or "").split("\n\n"):
        yield _escaped(" ".join(paragraph.split()))
        yield ""
    yield from _tables(context)
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            yield from _section(_context(command.get_command(context, name), context))


def _tables(context: Any) -> Iterator[str]:
    params = [p for p in context.command.get_params(context) if "--help" not in p.opts]
    for panel, records in records_by_panel(params, context).items():
        yield f"| {panel} | |"
        yield "|---|---|"
        for name, text in records:
            words = " ".join(text.split())
            yield f"| `{name.replace('|', chr(92) + '|')}` | {_escaped(words)} |"
        yield ""


def _escaped(text: str) -> str:
    """`text` as Markdown shows it: no HTML, no emphasis, no cells of a table."""
    parts = text.split("`")
    for number in range(0, len(parts), 2):  # the others are code
        for mark in "\\|<*_[":
            parts[number] = parts[number].replace(mark, "\\" + mark)
    return "`".join(parts)


if __name__ == "__main__":
    print(command_line_reference(), end="")
