"""Publishing over SRT with an `ffmpeg` program, because PyAV's FFmpeg lacks SRT."""

import contextlib
import io
import re
import threading
from collections.abc import Iterable

import av

from streamdenoise.errors import ConfigError
from streamdenoise.io.ffmpeg.program import SECRET_IN_SRT, ffmpeg_with
from streamdenoise.io.publishing.publisher import RefusedError
from streamdenoise.io.timeouts import Interruption, TimedProcess

# Reasons for a rejection, as a code or in words: some versions log only one of them.
_REFUSED = re.compile(
    "ERROR:(UNSECURE|BADSECRET)|Password required or unexpected|Incorrect passphrase"
)

_TS_PACKETS = "1316"

# Allowed anywhere in a transport stream; receivers ignore it.
_NULL_PACKET = b"\x47\x1f\xff\x10" + 184 * b"\xff"


class FFmpegPublisher:
    """Publishes through the program `ffmpeg`.

    The program forwards a transport stream without parsing it, so that it connects
    before the first frame and delays no packet.
    """

    schemes = ("srt",)

    def __init__(
        self, url: str, scheme: str, timeout_s: float, interruption: Interruption
    ) -> None:
        program = ffmpeg_with(scheme)
        if program is None:
            raise ConfigError(
                f"cannot publish to {scheme}://: no ffmpeg program with {scheme} was "
                "found; install FFmpeg, or pip install imageio-ffmpeg"
            )
        if SECRET_IN_SRT.search(url):
            raise ConfigError(
                f"cannot publish to {scheme}:// with a password: other users would see "
                "it in ffmpeg's arguments; publish over rtsps:// or rtmps://, or to a "
                "server on this machine that encrypts the stream"
            )
        self._command = [
            *(program, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info"),
            *("-f", "data", "-raw_packet_size", _TS_PACKETS, "-i", "pipe:0"),
            *("-map", "0", "-c", "copy", "-flush_packets", "1", "-f", "data", url),
        ]
        self._timeout_s = timeout_s
        self._interruption = interruption
        self._process: TimedProcess | None = None
        self._reader: threading.Thread | None = None
        self._why = ""
        self._buffer = io.BytesIO()
        self.container = av.open(
            self._buffer,
            "w",
            format="mpegts",
            container_options={
                "flush_packets": "1",
                "muxdelay": "0",
                "muxpreload": "0",
            },
        )

    def connect(self) -> None:
        self.container.start_encoding()
        self._process = process = TimedProcess(
            self._command, self._interruption, answers="stderr"
        )
        with process.within(self._timeout_s):
            # FFmpeg opens its input before its output. Versions such as 5.1 look for an
            # ID3 tag in every input: without ten bytes they would never connect.
            with contextlib.suppress(OSError):  # it has ended; its messages say why
                process.write(_NULL_PACKET)
            # All versions print this line as soon as SRT is connected.
            while not (line := process.read_line()).startswith("Output #0"):
                if not line:
                    self._fail()
                self._note(line)
        self._reader = threading.Thread(target=self._read_messages, name="srt-messages")
        self._reader.start()

    def send(self, packets: Iterable[av.Packet]) -> None:
        assert self._process is not None
        self.container.mux(list(packets))
        try:
            with self._process.within(self._timeout_s):
                self._process.write(self._buffer.getvalue())
        except OSError:
            self._fail()
        self._buffer.seek(0)
        self._buffer.truncate()

    def close(self, grace_s: float) -> None:
        if self._process is not None:
            self._process.end(grace_s)
        if self._reader is not None:
            self._reader.join()
        self.container.close()  # frees the encoder's memory immediately

    def _read_messages(self) -> None:
        """Read messages until the program ends: a full pipe would block it."""
        assert self._process is not None
        while line := self._process.read_line():
            self._note(line)

    def _note(self, line: str) -> None:
        if _REFUSED.search(line):
            self._why = "refused"
        elif self._why != "refused" and "rror" in line:
            self._why = line.rpartition(": ")[2]

    def _fail(self) -> None:
        if self._interruption.is_set:
            raise ConnectionError("interrupted")
        if self._why == "refused":
            raise RefusedError("password refused")
        late = self._process is not None and self._process.is_late
        raise ConnectionError(
            "no answer in time" if late else self._why or "ffmpeg has ended"
        )
