"""SRT streams, which PyAV's FFmpeg lacks, through an `ffmpeg` program that has it."""

import io
import subprocess
import tempfile

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.ffmpeg.program import SECRET_IN_SRT, ffmpeg_with
from streamdenoise.io.timeouts import TimedReader
from streamdenoise.io.url import StreamURL


class FFmpegReader(io.RawIOBase):
    """The bytes of an MPEG-TS stream, which ``ffmpeg`` passes on unparsed.

    Args:
        url: The address to read from.
        timeout_s: Longest silence in seconds; a longer read raises `TimeoutError`.

    Raises:
        SourceOpenError: The program is missing, or the address contains a secret,
            which other users would see among the program's arguments.
    """

    schemes = ("srt",)

    def __init__(self, url: StreamURL, timeout_s: float) -> None:
        program = ffmpeg_with(url.scheme, reads=True)
        if program is None:
            raise SourceOpenError(
                f"{url} cannot be opened: no ffmpeg with {url.scheme} was found; "
                "install FFmpeg, or pip install imageio-ffmpeg"
            )
        if SECRET_IN_SRT.search(url.reveal()):
            raise SourceOpenError(
                f"{url} cannot be opened: other users would see its password among "
                "ffmpeg's arguments; convert it to rtsp with a server such as MediaMTX"
            )
        # Not a pipe, which could fill up, because it is not read.
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                *(program, "-hide_banner", "-nostdin", "-loglevel", "error"),
                *("-f", "data", "-raw_packet_size", "1316", "-i", url.reveal()),
                *("-map", "0", "-c", "copy", "-flush_packets", "1"),
                *("-f", "data", "pipe:1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            bufsize=0,
            start_new_session=True,
        )
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
