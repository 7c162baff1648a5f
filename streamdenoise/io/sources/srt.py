"""SRT streams, which PyAV's FFmpeg lacks, through an `ffmpeg` program that has it."""

import io
import os
import subprocess
import tempfile
from contextlib import suppress

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.ffmpeg.program import ffmpeg_with
from streamdenoise.io.ffmpeg.srt_address import SrtAddress
from streamdenoise.io.timeouts import TimedReader
from streamdenoise.io.url import StreamURL

# The stream as it is.
_OPEN_INPUT = ("-nostdin", "-f", "data", "-raw_packet_size", "1316")

# FFmpeg has no other way to read an address that is not an argument.
_SECRET_INPUT = (
    *("-protocol_whitelist", "pipe,srt,udp", "-f", "concat", "-safe", "0"),
)


class FFmpegReader(io.RawIOBase):
    """The bytes of an MPEG-TS stream, which ``ffmpeg`` passes on.

    Args:
        url: The address to read from.
        timeout_s: Longest silence in seconds; a longer read raises `TimeoutError`.

    Raises:
        SourceOpenError: The program is missing, or other users would see a secret among
            its arguments.
    """

    schemes = ("srt",)

    def __init__(self, url: StreamURL, timeout_s: float) -> None:
        try:
            address = SrtAddress.of(url)
        except ValueError as exc:
            raise SourceOpenError(f"{url} cannot be opened: {exc}") from exc
        program = ffmpeg_with(url.scheme, reads=True)
        if program is None:
            raise SourceOpenError(
                f"{url} cannot be opened: no ffmpeg with {url.scheme} was found; "
                "install FFmpeg, or pip install imageio-ffmpeg"
            )
        # Not a pipe, which could fill up, because it is not read.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                *(program, "-hide_banner", "-loglevel", "error"),
                *(_SECRET_INPUT if address.secrets else _OPEN_INPUT),
                *("-i", "pipe:0" if address.secrets else address.open_part),
                *("-map", "0", "-c", "copy", "-flush_packets", "1"),
                *("-f", "mpegts" if address.secrets else "data", "pipe:1"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as stdin:  # it has ended
            stdin.write(os.fsencode(address.script if address.secrets else ""))
        assert self._process.stdout is not None
        self._pipe = TimedReader(
            self._process.stdout.fileno(), timeout_s, close_fd=False
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._pipe.readinto(buffer)

    @property
    def message(self) -> str:
        """The program's last error message; empty without one."""
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").splitlines()
        return lines[-1].rpartition(": ")[2].lower() if lines else ""

    def close(self) -> None:
        """End the program; any number of times."""
        if not self.closed:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._messages.close()
        super().close()
