"""The `ffmpeg` program, for protocols that PyAV's libraries lack."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable


@functools.cache
def ffmpeg_with(
    protocol: str, *, reads: bool = False, presets: bool = False
) -> str | None:
    """Path of an FFmpeg program that can write to `protocol`; None if there is none.

    With `reads`, a program that can read from it; with `presets`, one that takes
    options of outputs from files.
    """
    for program in _programs():
        listed = _printed([program, "-hide_banner", "-protocols"])
        inputs, _, outputs = listed.partition("Output:")
        if protocol not in (inputs if reads else outputs).split():
            continue
        if not presets or _takes_presets(program):
            return program
    return None


def _takes_presets(program: str) -> bool:
    """Whether ``-fpre FILE`` has an effect, which FFmpeg 9 has lost."""
    silence = ("-f", "u8", "-i", os.devnull)
    hashed = ("-f", "hash", "-fpre", "/dev/stdin", "pipe:1")
    command = [program, "-v", "error", *silence, *hashed]
    return "adler32" in _printed(command, "hash=adler32\n")


def _printed(command: list[str], stdin: str = "") -> str:
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _programs() -> Iterable[str]:
    program = shutil.which("ffmpeg")
    if program and os.path.isabs(program):  # not one of the present folder
        yield program
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return
