"""Formatting of ``--help``: options in panels, with rich on a terminal or as text."""

import sys
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup


class _Rich:
    """Formats help with rich on a terminal only, as importing rich takes its time."""

    help: str | None
    rich_markup_mode: Any

    def format_help(self, ctx: Any, formatter: Any) -> None:
        if sys.stdout.isatty():
            self.rich_markup_mode = "rich"
            paragraphs = (self.help or "").split("\n\n")
            self.help = "\n\n".join(" ".join(text.split()) for text in paragraphs)
        super().format_help(ctx, formatter)  # type: ignore[misc]


def records_by_panel(
    params: Iterable[Any], ctx: Any
) -> dict[str, list[tuple[str, str]]]:
    """Name and help of the parameters of a command, by panel."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for param in params:
        record = param.get_help_record(ctx)
        if record is not None:
            is_argument = param.param_type_name == "argument"
            panel = "Arguments" if is_argument else param.rich_help_panel or "Options"
            panels.setdefault(panel, []).append(record)
    return panels


class PanelCommand(_Rich, TyperCommand):
    """A command whose help lists its options by panel."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel = "Help"  # the default panel would come first
        return option

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for panel, records in records_by_panel(self.get_params(ctx), ctx).items():
            with formatter.section(panel):
                formatter.write_dl(records)


class PanelGroup(_Rich, TyperGroup):
    """A group whose help lists its commands by panel."""
