"""Names and texts from outside on the terminal: no escapes, no forged lines."""

import ast
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamdenoise.console.logs import TextFormatter
from streamdenoise.console.progress import RedrawnLine
from streamdenoise.console.table import align, markdown_table
from streamdenoise.errors import ConfigError
from streamdenoise.security.plain_text import printable, printable_lines
from tests.support.clips import write_clip
from tests.support.command import ROOT, command, environment, outcome, run

EVIL = "x\x1b]0;owned\x07\x1b[2J\nERROR: forged\r\u202egnp\x9b31m\udce9"
CONTROL = re.compile(r"[^\n\x20-\x7e]")
"""What no line may hold; the names in these tests have nothing else beyond ASCII."""


def check(text: str) -> None:
    assert text
    assert not CONTROL.search(text), repr(text)
    assert not re.search(r"^ERROR: forged", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 猫 \U0001f600 C:\\x", "plain ü 猫 \U0001f600 C:\\x"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x9b\x7f\0", r"\x1b[31m\x9b\x7f\x00"),
        ("\u202e\u2066\u2028\u200b\ufeff", r"\u202e\u2066\u2028\u200b\ufeff"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_is_not_visible_is_escaped(text: str, shown: str):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_lines_stay_lines():
    assert printable_lines("a\tb\nc\x1b") == "a\\tb\nc\\x1b"


def test_records_of_the_log_cannot_be_forged():
    try:
        raise ValueError(EVIL)
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, EVIL, 1, "lost %s", (EVIL,), sys.exc_info()
        )
    text = TextFormatter("%(levelname)s: %(message)s").format(record)
    check(text)
    first, *rest = text.split("\n")
    assert first.startswith("ERROR: lost x\\x1b]0;owned")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)


def test_tables_and_progress_hold_no_escapes(capsys: pytest.CaptureFixture[str]):
    check("\n".join(align([["name", "x"], [EVIL, "y"]])))
    check("\n".join(markdown_table(["name"], [[EVIL]])))
    RedrawnLine(sys.stderr).draw(EVIL)
    check(capsys.readouterr().err.strip("\r"))


def test_errors_are_one_line_for_those_who_embed_it():
    check(str(ConfigError(f"{EVIL} cannot be used")))


def test_a_job_on_files_with_such_names(tmp_path: Path):
    folder = tmp_path / EVIL
    folder.mkdir()
    clip = folder / f"{EVIL}.mkv"
    write_clip(tmp_path / "clip.mkv")
    (tmp_path / "clip.mkv").rename(clip)
    words = command("-v", "file", clip, "-o", folder / f"out{EVIL}.mkv", "--threads", 1)
    done = outcome(words)
    assert done.returncode == 0
    check(done.stderr)
    done = outcome(words)  # it exists
    assert done.returncode == 1
    check(done.stderr)
    assert done.stderr.count("\n") == 1


def test_a_job_on_a_terminal(tmp_path: Path):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / f"bad{EVIL}.png").write_bytes(b"no picture")
    leader, follower = pty.openpty()
    job = subprocess.Popen(
        command("image", tmp_path, "-o", tmp_path / f"out{EVIL}", "--threads", 1),
        stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment(),
    )  # fmt: skip
    os.close(follower)
    shown = b""
    try:
        while data := os.read(leader, 65536):
            shown += data
    except OSError:  # how a terminal ends
        pass
    os.close(leader)
    job.wait()
    check(shown.decode().replace("\r", ""))
    assert rb"bad" in shown


@pytest.mark.parametrize(
    "words",
    [
        *((EVIL,), (f"--{EVIL}",), ("models", EVIL), ("models", f"--{EVIL}")),
        *(("file", EVIL, "-o", "x.mkv"), ("file", "x", "-o", "y", "--crf", EVIL)),
    ],
)
def test_words_of_the_command_line(words: tuple[str, ...]):
    done = run(*words)
    assert done.exit_code
    check(done.stderr)


def test_names_of_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STREAMDENOISE_ENGINES", str(tmp_path))
    (tmp_path / f"{EVIL}.engine.json").write_text("[]")
    for word in ("list", "verify", "prune"):
        check(run("engines", word).stdout)


def test_uncaught_errors_and_warnings(tmp_path: Path):
    code = (
        "import sys, warnings; from streamdenoise.console import logs\n"
        "logs.install_hooks(); text = sys.argv[1]\n"
        "if sys.argv[2:]: logs.configure_logging()\n"
        "warnings.warn(text, stacklevel=1); raise RuntimeError(text)"
    )
    for more in ((), ("log",)):
        done = outcome([sys.executable, "-c", code, EVIL, *more])
        assert "RuntimeError: x\\x1b]0;owned" in done.stderr
        check(done.stderr)


def test_commands_print_in_one_place():
    printing = {
        path.name
        for path in (ROOT / "streamdenoise/cli").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr == "echo")
        or (isinstance(node, ast.Name) and node.id == "print")
    }
    assert printing == {"terminal.py", "reference.py"}
