"""The `ffmpeg` program, for protocols that PyAV's libraries lack."""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable

# A passphrase, a user name in the address, or a stream ID with a password, as in the
# form publish:path:user:password of some servers.
SECRET_IN_SRT = re.compile(
    r"[?&]passphrase=|^srt://[^/?#]*@|[?&](srt_)?streamid=[^&:]*:[^&:]*:[^&]*:", re.I
)


@functools.cache
def ffmpeg_with(protocol: str, *, reads: bool = False) -> str | None:
    """Path of an FFmpeg program that can write to `protocol`; None if there is none.

    With `reads`, a program that can read from it.
    """
    for program in _programs():
        try:
            listed = subprocess.run(
                [program, "-hide_banner", "-protocols"],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        inputs, _, outputs = listed.partition("Output:")
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
