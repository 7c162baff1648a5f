"""Output on the terminal: logs, progress and tables. Commands are in `cli`."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.console.logs import (
        LogFormat,
        configure_logging,
        install_hooks,
        logs_json,
    )
    from streamdenoise.console.process_title import hide_arguments
    from streamdenoise.console.progress import (
        BuildProgress,
        Progress,
        RedrawnLine,
        bar_line,
        stats_fields,
        summary,
    )
    from streamdenoise.console.table import align, markdown_table

__all__ = [
    "BuildProgress",
    "LogFormat",
    "Progress",
    "RedrawnLine",
    "align",
    "bar_line",
    "configure_logging",
    "hide_arguments",
    "install_hooks",
    "logs_json",
    "markdown_table",
    "stats_fields",
    "summary",
]

__getattr__ = exports(
    __name__,
    {
        "BuildProgress": "progress",
        "LogFormat": "logs",
        "Progress": "progress",
        "RedrawnLine": "progress",
        "align": "table",
        "bar_line": "progress",
        "configure_logging": "logs",
        "hide_arguments": "process_title",
        "install_hooks": "logs",
        "logs_json": "logs",
        "markdown_table": "table",
        "stats_fields": "progress",
        "summary": "progress",
    },
)
