"""Publishers send encoded packets to a server through a child process."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import av
from av.container import OutputContainer

from streamdenoise.io.connections.trust import Trust
from streamdenoise.io.connections.tunnel import Tunnel
from streamdenoise.io.publishing.process import PACKET, TIME_BASE
from streamdenoise.io.timeouts import Interruption, TimedProcess
from streamdenoise.security.import_path import python_child

_PROGRAM = Path(__file__).with_name("process.py")

# Scheme -> FFmpeg's format and its options.
_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtmp": ("flv", {"flvflags": "no_duration_filesize"}),
    "rtmps": ("flv", {"flvflags": "no_duration_filesize"}),
    "udp": ("mpegts", {}),
    "tcp": ("mpegts", {}),
}

# As many packets of a transport stream as fit into a datagram, in bytes.
_TS_DATAGRAM_BYTES = 7 * 188

SOUND_OPTIONS = {"max_interleave_delta": "1"}
"""FFmpeg waits for packets of each stream to put them in order, but not for long: sound
may never come. A packet ends the wait of the one before."""


class RefusedError(ConnectionError):
    """The server rejects the user or the password."""


class Publisher(Protocol):
    """A connection to a server, used by a single thread.

    Every method except the constructor raises an OSError that says what happened.
    """

    container: OutputContainer
    """Encoders add their streams to this container before `connect`."""
    format_name: str
    """FFmpeg's name of the format that the server gets."""

    def connect(self) -> None:
        """Connect and start the stream.

        Raises:
            RefusedError: The server rejects the user or the password.
        """
        ...

    def send(self, packets: Iterable[av.Packet]) -> None: ...

    def close(self, grace_s: float) -> None:
        """Disconnect properly within `grace_s` seconds, or just drop the connection."""
        ...


class PyAVPublisher:
    """Publishes through PyAV's FFmpeg in the child process `process`.

    Each packet is acknowledged before the next one is sent, so that nothing queues up
    in pipes and the latency is that of the network.
    """

    schemes = tuple(_FORMATS)

    def __init__(
        self,
        url: str,
        scheme: str,
        timeout_s: float,
        interruption: Interruption,
        trust: Trust,
    ) -> None:
        self._url = url
        self._scheme = scheme
        self.format_name = _FORMATS[scheme][0]
        self._trust = trust
        self._tunnel: Tunnel | None = None
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
            url += f"{'&' if '?' in url else '?'}pkt_size={_TS_DATAGRAM_BYTES}"
        if container_format == "mpegts":
            options = {"muxdelay": "0", "muxpreload": "0"}
        if self._scheme in Tunnel.schemes:
            self._tunnel = Tunnel(url, self._trust, self._timeout_s, self._interruption)
            url, options = self._tunnel.address, options | self._tunnel.options
        request = {
            "url": url,
            "format": container_format,
            "options": options | {"flush_packets": "1"} | SOUND_OPTIONS,
            "timeout_s": self._timeout_s,
            "head": len(head),
        }
        command, environment = python_child(str(_PROGRAM))
        self._process = TimedProcess(
            command, self._interruption, environment=environment
        )
        self._request(json.dumps(request).encode() + b"\n" + head, "ready")

    def send(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            data = bytes(packet)
            pts, dts = _ticks(packet, packet.pts), _ticks(packet, packet.dts)
            header = PACKET.pack(
                len(data), packet.stream_index, packet.is_keyframe, pts, dts
            )
            self._request(header + data, "ok")

    def close(self, grace_s: float) -> None:
        if self._process is not None:
            self._process.end(grace_s)
        if self._tunnel is not None:
            self._tunnel.close(grace_s)
        self.container.close()  # frees the encoder's memory immediately

    def _take_head(self) -> bytes:
        """Describe the streams as a NUT file, which needs a packet to be readable."""
        self.container.start_encoding()
        for stream in self.container.streams:  # the first one is written at once
            packet = av.Packet(b"\0\0\0\1")
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream = TIME_BASE, stream
            packet.is_keyframe = True
            self.container.mux(packet)
        return self._head.getvalue()

    def _request(self, data: bytes, expected: str) -> None:
        process = self._process
        assert process is not None
        try:
            with process.within(self._timeout_s):
                process.write(data)
                answer = process.read_line()
        except OSError:  # it has ended, perhaps after a message
            answer = process.read_line()
        if answer == expected:
            return
        kind, _, what = answer.partition(": ")
        if kind == "refused":
            raise RefusedError(what)
        if self._interruption.is_set:
            raise ConnectionError("interrupted")
        if process.is_late:
            what = "no answer in time"
        raise ConnectionError(what or "the sending process has ended")


def _ticks(packet: av.Packet, stamp: int | None) -> int:
    """A time of `packet` in the units of the child process."""
    assert stamp is not None
    assert packet.time_base is not None
    return round(stamp * packet.time_base / TIME_BASE)
