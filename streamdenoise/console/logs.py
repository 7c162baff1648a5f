"""Logging to stderr, as text or JSON, with credentials masked and names escaped."""

import contextlib
import copy
import json
import logging
import math
import sys
import threading
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, TextIO

from streamdenoise.security.masking import mask_credentials, mask_exception
from streamdenoise.security.plain_text import printable

log = logging.getLogger(__name__)

_CHATTY = ("numba", "filelock")
"""Libraries whose debug messages, thousands for one kernel, help nobody here."""

_RECORD_FIELDS = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


class LogFormat(StrEnum):
    """Format of the log."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """A line for each record, and indented ones for its traceback.

    Credentials are masked and control characters escaped, wherever they are from.
    """

    def format(self, record: logging.LogRecord) -> str:
        record = _formattable(record)
        if not (record.exc_info or record.exc_text or record.stack_info):
            return printable(mask_credentials(super().format(record)))
        record.msg = printable(mask_credentials(record.msg))
        return _block(super().format(record))


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, extras, exception."""

    def format(self, record: logging.LogRecord) -> str:
        record = _formattable(record)
        extras = {
            key: value
            for key, value in record.__dict__.items()
            if key not in _RECORD_FIELDS
        }
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            **extras,
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(_masked(line))


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do nothing: the default writes to the same stderr, unmasked."""


def configure_logging(
    level: int | str = logging.WARNING, log_format: LogFormat | str = LogFormat.TEXT
) -> None:
    """Log to stderr; another call changes level and format.

    Args:
        level: Lowest level that is logged, as in `logging`.
        log_format: ``text`` or ``json``.

    Raises:
        ValueError: There is no such level or format.
    """
    if LogFormat(log_format) is LogFormat.JSON:
        formatter: logging.Formatter = JSONFormatter()
    else:
        formatter = TextFormatter("%(levelname)s: %(message)s")
    root = logging.getLogger()
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    handlers = [each for each in root.handlers if isinstance(each, StderrHandler)]
    handler = handlers[0] if handlers else StderrHandler()
    handler.setFormatter(formatter)
    if not handlers:
        root.addHandler(handler)


def logs_json() -> bool:
    """Whether the log is JSON; nothing else may be written to stderr then."""
    return any(
        isinstance(handler.formatter, JSONFormatter)
        for handler in logging.getLogger().handlers
    )


def install_hooks() -> None:
    """Log uncaught exceptions, masked, instead of printing them.

    For programs, not libraries: it sets `sys.excepthook`, `threading.excepthook` and
    `sys.unraisablehook`, and warnings go to the log.
    """
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_from_thread
    sys.unraisablehook = _log_unraisable


def _log_uncaught(
    kind: type[BaseException], exc: BaseException, trace: TracebackType | None
) -> None:
    _log_exception("uncaught exception", (kind, exc, trace))


def _log_from_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return  # as in threading's own hook
    name = args.thread.name if args.thread is not None else "unknown"
    exc = args.exc_value or args.exc_type()
    text = f"uncaught exception in thread {name}"
    _log_exception(text, (args.exc_type, exc, args.exc_traceback))


def _log_unraisable(args: "sys.UnraisableHookArgs") -> None:
    exc = args.exc_value or args.exc_type()
    text = args.err_msg or "exception ignored in"
    _log_exception(f"{text}: {args.object!r}", (args.exc_type, exc, args.exc_traceback))


def _log_exception(
    text: str, exc_info: tuple[type[BaseException], BaseException, TracebackType | None]
) -> None:
    """Log an exception, or print it where logging is disabled or shut down."""
    with contextlib.suppress(Exception):  # stderr may be closed
        text = mask_credentials(text)
        mask_exception(exc_info[1])  # for handlers of others
        if log.isEnabledFor(logging.CRITICAL) and log.hasHandlers():
            log.critical("%s", text, exc_info=exc_info)
            return
        lines = traceback.format_exception(*exc_info)
        whole = f"{printable(text)}\n{''.join(lines)}"
        sys.stderr.write(_block(whole.rstrip("\n")) + "\n")


def _block(text: str) -> str:
    """`text` with all lines but the first indented: none can pass for a new record."""
    return "\n  ".join(map(printable, mask_credentials(text).split("\n")))


def _formattable(record: logging.LogRecord) -> logging.LogRecord:
    """A copy with its message formatted, even if the arguments do not fit."""
    record = copy.copy(record)
    try:
        message = record.getMessage()
    except Exception:  # str() of an argument may raise anything
        message = f"{record.msg!s} (with mismatched arguments)"
    record.msg, record.args = message, None
    return record


def _masked(value: object, depth: int = 8) -> Any:
    """`value` as JSON, with credentials masked."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth and isinstance(value, dict):
        return {_text(key): _masked(each, depth - 1) for key, each in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_masked(each, depth - 1) for each in value]
    return _text(value)


def _text(value: object) -> str:
    try:
        return mask_credentials(str(value))
    except Exception:  # its str() may raise anything
        return f"<{type(value).__name__}>"
