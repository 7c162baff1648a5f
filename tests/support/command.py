"""Running the command line, in this process or a separate one."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from typer.testing import CliRunner, Result

from streamdenoise.cli.main import app

ROOT = Path(__file__).parents[2]
"""Root of the checkout."""
SAMPLES = ROOT / "samples"


def run(*args: object, typed: str | None = None) -> Result:
    """Run `streamdenoise ARGS` in this process; `typed` is on its stdin."""
    return CliRunner().invoke(app, [str(arg) for arg in args], input=typed)


def command(*args: object) -> list[str]:
    """The same as the command of a process, which needs `environment`."""
    return [sys.executable, "-m", "streamdenoise", *(str(arg) for arg in args)]


def environment(**more: str) -> dict[str, str]:
    """Environment of a process that imports this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def outcome(
    words: Sequence[object], *, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in `environment` with `more`, and keep its output."""
    return subprocess.run(
        list(map(str, words)), cwd=cwd, env=environment(**more),
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def python(
    code: str, *args: object, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """The same for a Python program."""
    return outcome([sys.executable, "-c", code, *args], cwd=cwd, **more)
