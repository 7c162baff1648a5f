"""The log as text and JSON, and uncaught exceptions."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamdenoise.console.logs import (
    JSONFormatter,
    LogFormat,
    StderrHandler,
    TextFormatter,
    configure_logging,
)
from streamdenoise.io.url import StreamURL
from tests.support.command import python

ADDRESS = "rtsp://me:zq7secret@cam/s"


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def objects(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


class Stubborn:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class TestText:
    def test_format(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging(logging.INFO)
        logging.getLogger("any").info("frame %d of %s", 3, ADDRESS)
        logging.getLogger("any").debug("not this")
        assert capsys.readouterr().err == "INFO: frame 3 of rtsp://***@cam/s\n"

    def test_debug_messages_of_compilers_are_left_out(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logging(logging.DEBUG)
        logging.getLogger("streamdenoise").debug("this")
        for name in ("numba.core.ssa", "numba.core.byteflow", "filelock"):
            logging.getLogger(name).debug("not this")
            logging.getLogger(name).warning("that")
        assert capsys.readouterr().err == "DEBUG: this\n" + 3 * "WARNING: that\n"
        configure_logging(logging.ERROR)
        logging.getLogger("numba.core.ssa").warning("not this either")
        assert capsys.readouterr().err == ""

    def test_exceptions_are_masked(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        try:
            raise OSError(111, "refused", ADDRESS)
        except OSError:
            logging.getLogger("any").exception("failed")
        shown = capsys.readouterr().err
        assert shown.startswith("ERROR: failed\n  Traceback")
        assert shown.endswith("refused: 'rtsp://***@cam/s'\n")

    def test_known_secrets_are_masked(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        StreamURL.parse("rtsp://me:yx4%2Fword@cam/s")
        logging.getLogger("any").warning("yx4/word and yx4%%2fword and %r", "yx4/word")
        assert capsys.readouterr().err == "WARNING: *** and *** and '***'\n"


class TestJSON:
    def test_each_line_is_an_object(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging("INFO", "json")
        before = datetime.now(UTC)
        logging.getLogger("streamdenoise.jobs.live").info(
            "two\nlines of %s", ADDRESS, extra={"fps": 25.0, "source": ADDRESS}
        )
        after = datetime.now(UTC)
        (line,) = objects(capsys.readouterr().err)
        moment = line.pop("time")
        assert moment.endswith("Z")
        assert len(moment) == len("2026-01-01T00:00:00.000Z")
        at = datetime.fromisoformat(moment)
        floor = before.replace(microsecond=before.microsecond // 1000 * 1000)
        assert floor <= at <= after
        assert line == {
            "level": "INFO",
            "logger": "streamdenoise.jobs.live",
            "message": "two\nlines of rtsp://***@cam/s",
            "fps": 25.0,
            "source": "rtsp://***@cam/s",
        }

    def test_exceptions_and_stacks(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging(log_format=LogFormat.JSON)
        try:
            raise OSError(111, "refused", ADDRESS)
        except OSError:
            logging.getLogger("any").exception("failed", stack_info=True)
        (line,) = objects(capsys.readouterr().err)
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("refused: 'rtsp://***@cam/s'")
        assert "test_exceptions_and_stacks" in line["stack"]

    def test_extras_of_any_kind(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging(log_format="json")
        loop: list[object] = [Path("a"), {ADDRESS: (1, None, float("nan"))}]
        loop.append(loop)
        extra = {"loop": loop, "bad": Stubborn(), "level": "mine", "flag": True}
        logging.getLogger("any").warning("x", extra=extra)
        (line,) = objects(capsys.readouterr().err)
        assert line["loop"][:2] == ["a", {"rtsp://***@cam/s": [1, None, "nan"]}]
        assert line["bad"] == "<Stubborn>"
        assert line["level"] == "WARNING"
        assert line["flag"] is True


@pytest.mark.parametrize("log_format", list(LogFormat))
class TestBoth:
    def test_mismatched_arguments(
        self, capsys: pytest.CaptureFixture[str], log_format: LogFormat
    ) -> None:
        logging.getLogger().handlers.clear()  # that of pytest would raise
        configure_logging(log_format=log_format)
        logging.getLogger("any").warning("%d frames of %s", "no", ADDRESS)
        logging.getLogger("any").warning("of %s", Stubborn())
        shown = capsys.readouterr().err
        assert "zq7secret" not in shown
        assert shown.count("with mismatched arguments") == 2

    def test_configuring_again_adds_no_handler(
        self, capsys: pytest.CaptureFixture[str], log_format: LogFormat
    ) -> None:
        for level in (logging.DEBUG, logging.WARNING):
            configure_logging(level, log_format)
        handlers = logging.getLogger().handlers
        assert sum(isinstance(each, StderrHandler) for each in handlers) == 1
        logging.getLogger("any").info("not this")
        logging.getLogger("any").warning("this")
        assert capsys.readouterr().err.count("\n") == 1

    def test_stderr_may_be_closed(
        self, monkeypatch: pytest.MonkeyPatch, log_format: LogFormat
    ) -> None:
        configure_logging(log_format=log_format)
        stderr = io.StringIO()
        stderr.close()
        for closed in (stderr, None):
            monkeypatch.setattr(sys, "stderr", closed)
            logging.getLogger("any").warning("lost")


def test_records_are_not_modified() -> None:
    record = logging.makeLogRecord({"msg": "at %s", "args": (ADDRESS,)})
    for formatter in (TextFormatter(), JSONFormatter()):
        assert "zq7secret" not in formatter.format(record)
    assert record.args == (ADDRESS,)
    assert record.msg == "at %s"


def test_unknown_levels_and_formats() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("LOUD")
    with pytest.raises(ValueError, match="xml"):
        configure_logging(log_format="xml")


class TestUncaught:
    """Runs in subprocesses, because pytest replaces the hooks in this process."""

    PROGRAM = """
import gc, logging, sys, threading
from streamdenoise.console.logs import configure_logging, install_hooks
from streamdenoise.io.url import StreamURL
install_hooks()
if {configured}:
    configure_logging("WARNING", {log_format!r})
if {disabled}:
    logging.disable()
url = StreamURL.parse(sys.argv[1])

class Dying:
    def __repr__(self):
        return url.reveal()
    def __del__(self):
        raise OSError(1, "in a finalizer", url.reveal())

def run():
    raise OSError(2, "in a thread", url.reveal())

def leave():
    raise SystemExit

Dying()
for each in (run, leave):
    thread = threading.Thread(target=each, name=url.reveal())
    thread.start()
    thread.join()
try:
    raise KeyError(url.reveal())
except KeyError as exc:
    raise OSError(3, "in the main thread", url.reveal()) from exc
"""

    def _stderr(
        self, log_format: str, configured: bool = True, disabled: bool = False
    ) -> str:
        program = self.PROGRAM.format(
            log_format=log_format, configured=configured, disabled=disabled
        )
        done = python(program, ADDRESS)
        assert done.returncode == 1
        assert done.stdout == ""
        assert "zq7secret" not in done.stderr
        return done.stderr

    @pytest.mark.parametrize(
        ("configured", "disabled"), [(True, False), (False, False), (True, True)]
    )
    def test_in_text(self, configured: bool, disabled: bool) -> None:
        shown = self._stderr("text", configured, disabled)
        assert shown.count("in a finalizer: 'rtsp://***@cam/s'") == 1
        assert shown.count("in a thread: 'rtsp://***@cam/s'") == 1
        assert shown.count("in the main thread: 'rtsp://***@cam/s'") == 1
        assert "KeyError: 'rtsp://***@cam/s'" in shown
        assert shown.count("uncaught exception") == 2

    def test_in_json(self) -> None:
        lines = objects(self._stderr("json"))
        assert [line["level"] for line in lines] == ["CRITICAL"] * 3
        assert [line["message"].partition(" rtsp")[0] for line in lines] == [
            lines[0]["message"],
            "uncaught exception in thread",
            "uncaught exception",
        ]
        assert "KeyError" in lines[2]["exception"]
