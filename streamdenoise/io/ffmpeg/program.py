"""The program `ffmpeg`, where PyAV's libraries lack a protocol."""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable

# A passphrase; a user in the address; and a stream's id with a password, in the form
# publish:path:user:password of some servers.
SECRET_IN_SRT = re.compile(
    r"[?&]passphrase=|^srt://[^/?#]*@|[?&](srt_)?streamid=[^&:]*:[^&:]*:[^&]*:", re.I
)


@functools.cache
def ffmpeg_with(protocol: str, *, reads: bool = False) -> str | None:
    """The path of an FFmpeg program that can write to `protocol`, or None.

    With `reads`, that can read from it.
    """
    for program in _programs():
        try:
            told = subprocess.run(
                [program, "-hide_banner", "-protocols"],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        inputs, _, outputs = told.partition("Output:")
        if protocol in (inputs if reads else outputs).split():
            return program
    return None


def _programs() -> Iterable[str]:
    if program := shutil.which("ffmpeg"):
        yield program
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return
