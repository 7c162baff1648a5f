"""Publishing over SRT with an `ffmpeg` program, because PyAV's FFmpeg lacks SRT."""

import contextlib
import io
import os
import re
import threading
from collections.abc import Iterable, Iterator

import av

from streamdenoise.errors import ConfigError
from streamdenoise.io.ffmpeg.program import ffmpeg_with
from streamdenoise.io.ffmpeg.srt_address import SrtAddress
from streamdenoise.io.publishing.publisher import SOUND_OPTIONS, RefusedError
from streamdenoise.io.timeouts import Interruption, TimedProcess
from streamdenoise.io.url import StreamURL

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
    format_name = "mpegts"

    def __init__(
        self, url: StreamURL, timeout_s: float, interruption: Interruption
    ) -> None:
        try:
            self._address = SrtAddress.of(url)
        except ValueError as exc:
            raise ConfigError(f"cannot publish to {url}: {exc}") from exc
        program = ffmpeg_with(url.scheme, presets=bool(self._address.secrets))
        if program is None and self._address.secrets and ffmpeg_with(url.scheme):
            raise ConfigError(
                f"cannot publish to {url}: this ffmpeg would show its secrets to other "
                "users; install FFmpeg 5, 6 or 7, or publish over rtsps:// or rtmps://"
            )
        if program is None:
            raise ConfigError(
                f"cannot publish to {url.scheme}://: no ffmpeg program with "
                f"{url.scheme} was found; install FFmpeg, or pip install imageio-ffmpeg"
            )
        self._program = program
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
                **SOUND_OPTIONS,
            },
        )

    def connect(self) -> None:
        self.container.start_encoding()
        with _as_file(self._address.preset) as preset:
            command = [
                *(self._program, "-hide_banner", "-nostdin", "-nostats"),
                *("-loglevel", "info", "-f", "data"),
                *("-raw_packet_size", _TS_PACKETS, "-i", "pipe:0"),
                *("-map", "0", "-c", "copy", "-flush_packets", "1", "-f", "data"),
                *(("-fpre", f"/dev/fd/{preset}") if self._address.secrets else ()),
                self._address.open_part,
            ]
            self._process = process = TimedProcess(
                command, self._interruption, answers="stderr", descriptors=[preset]
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


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[int]:
    """A descriptor that `text` can be read from, once, by a child process."""
    reading, writing = os.pipe()
    try:
        with open(writing, "wb") as pipe:
            pipe.write(
                os.fsencode(text)
            )  # at most some hundred bytes: a pipe holds them
        yield reading
    finally:
        os.close(reading)
