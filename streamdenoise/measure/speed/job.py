"""The whole job that speed is measured with: a video in, an x264 file out."""

import subprocess
import time
from pathlib import Path

from streamdenoise.errors import ConfigError

PRESET = "veryfast"
CRF = 23

Command = tuple[list[str], dict[str, str] | None]
"""A command line and its environment; None is that of this process."""


def file_arguments(
    source: Path, out: Path, model: str, backend: str, threads: int | None
) -> list[str]:
    """The arguments of ``streamdenoise`` for the job; None lets it choose threads."""
    words = ["file", str(source), "-o", str(out), "--overwrite"]
    words += ["--model", model, "--backend", backend]
    if threads is not None:
        words += ["--threads", str(threads)]
    return [*words, "--codec", "x264", "--preset", PRESET, "--crf", str(CRF)]


def run(command: Command) -> float:
    """Run a command and return its wall-clock time in seconds.

    Raises:
        ConfigError: It failed.
    """
    words, environment = command
    start = time.perf_counter()
    done = subprocess.run(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed_s = time.perf_counter() - start
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        name = Path(words[0]).name
        raise ConfigError(f"a measured job failed ({name}): {last}; see its message")
    return elapsed_s
