"""Encoded packets to a server, through a child process that alone can be held up."""

import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import av
from av.container import OutputContainer

from streamdenoise.io.publishing.process import PACKET, TIME_BASE
from streamdenoise.io.timeouts import Interruption, TimedProcess

_PROGRAM = Path(__file__).with_name("process.py")

# FFmpeg's format for each scheme, and its options there.
_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtmp": ("flv", {"flvflags": "no_duration_filesize"}),
    "rtmps": ("flv", {"flvflags": "no_duration_filesize"}),
    "udp": ("mpegts", {}),
    "tcp": ("mpegts", {}),
}

# Of a transport stream, and as much as a datagram takes.
_TS_PACKETS = 7 * 188


class RefusedError(ConnectionError):
    """The server does not let this user publish."""


class Publisher(Protocol):
    """A way to a server. Used by one thread; `Interruption` may come from any.

    Every method but the constructor raises an OSError that says what happened.
    """

    container: OutputContainer
    """What the encoder's stream is added to, before `connect`."""

    def connect(self) -> None:
        """Have the server take the stream.

        Raises:
            RefusedError: Not by this user, or with this password.
        """
        ...

    def send(self, packets: Iterable[av.Packet]) -> None: ...

    def close(self, grace_s: float) -> None:
        """Say goodbye, which is cut off after `grace_s` seconds; 0 says nothing."""
        ...


class PyAVPublisher:
    """A `Publisher` by the FFmpeg inside PyAV, which remuxes in `process`.

    Each packet is answered for before the next one is sent: nothing waits in pipes,
    and the delay stays that of the network.
    """

    schemes = tuple(_FORMATS)

    def __init__(
        self, url: str, scheme: str, timeout_s: float, interruption: Interruption
    ) -> None:
        self._url = url
        self._scheme = scheme
        self._timeout_s = timeout_s
        self._interruption = interruption
        self._process: TimedProcess | None = None
        self._head = io.BytesIO()
        self.container = av.open(self._head, "w", format="nut")

    def connect(self) -> None:
        head = self._take_head()
        container_format, options = _FORMATS[self._scheme]
        url = self._url
        if self._scheme == "udp" and "pkt_size=" not in url:
            url += f"{'&' if '?' in url else '?'}pkt_size={_TS_PACKETS}"
        if container_format == "mpegts":
            options = {"muxdelay": "0", "muxpreload": "0"}
        asked = {
            "url": url,
            "format": container_format,
            "options": options | {"flush_packets": "1"},
            "timeout_s": self._timeout_s,
            "head": len(head),
        }
        self._process = TimedProcess(
            [sys.executable, "-P", str(_PROGRAM)], self._interruption
        )
        self._ask(json.dumps(asked).encode() + b"\n" + head, "ready")

    def send(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            data = bytes(packet)
            header = PACKET.pack(len(data), packet.is_keyframe, packet.pts, packet.dts)
            self._ask(header + data, "ok")

    def close(self, grace_s: float) -> None:
        if self._process is not None:
            self._process.end(grace_s)
        self.container.close()  # or the encoder's memory waits for the collector

    def _take_head(self) -> bytes:
        """The stream's description: a NUT file must have one packet to be readable."""
        self.container.start_encoding()
        stream = self.container.streams.video[0]
        packet = av.Packet(b"\0\0\0\1")
        packet.pts = packet.dts = 0
        packet.time_base, packet.stream = TIME_BASE, stream
        packet.is_keyframe = True
        self.container.mux(packet)
        return self._head.getvalue()

    def _ask(self, data: bytes, wanted: str) -> None:
        process = self._process
        assert process is not None
        try:
            with process.within(self._timeout_s):
                process.write(data)
                answer = process.read_line()
        except OSError:  # it has ended, perhaps with a word why
            answer = process.read_line()
        if answer == wanted:
            return
        kind, _, what = answer.partition(": ")
        if kind == "refused":
            raise RefusedError(what)
        if self._interruption.is_set:
            raise ConnectionError("interrupted")
        if process.is_late:
            what = "no answer in time"
        raise ConnectionError(what or "the process that sends has ended")
