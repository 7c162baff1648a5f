"""A TCP proxy that injects network faults, in a separate process.

It parses RTSP's framing (``$``, channel, length) in both directions, so that RTP
packets can be lost, damaged, swapped or given wrong timestamps while the RTSP messages
around them stay intact. Other protocols pass as bytes. Random choices come from a seed.

    with FaultProxy(server.port, seed=7) as proxy:
        source = open_source(server.url(port=proxy.port))
        proxy.set(drop=0.05, delay_ms=200)
        ...
        proxy.clear()
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, fields
from typing import Self

_BUFFER_BYTES = 1 << 18
"""Bytes that may be delayed, each way; beyond it the sender has to wait."""

_RTP_HEADER_BYTES = 12

_RTSP_BEGINNINGS = (b"OPTIONS ", b"DESCRIBE", b"ANNOUNCE")


@dataclass
class Faults:
    """The faults of a line; the defaults are a good line."""

    delay_ms: float = 0.0
    """Delay of everything, in milliseconds."""
    stall: bool = False
    """Nothing passes, either way, while the connections stay open."""
    throttle_kbps: float = 0.0
    """Kilobits per second, each way; 0 is no limit."""
    refuse: bool = False
    """New connections are reset at once."""
    drop: float = 0.0
    """Share of the RTP packets that are lost."""
    corrupt: float = 0.0
    """Share of the RTP packets with a few bits flipped in their payload."""
    reorder: float = 0.0
    """Share of the RTP packets that arrive after their successor."""
    raw_corrupt: float = 0.0
    """Share of all messages and packets with a few bits flipped anywhere."""
    refuse_second: bool = False
    """Requests for the second stream of GStreamer's server, its sound, are refused."""
    stick_clock: bool = False
    """All RTP packets get the timestamp of the first one."""
    flood: int = 0
    """Number of repetitions of each frame."""


class FaultProxy:
    """Forwards everything from `port` to `target_port`, both on loopback.

    All calls return when the proxy has executed them; faults affect open connections,
    too.
    """

    def __init__(self, target_port: int, *, seed: int = 0) -> None:
        self._arguments = [str(target_port), str(seed)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process.stdout.close()

    def set(self, **faults: float) -> None:
        """Change some of `Faults` by name; the others stay."""
        unknown = set(faults) - {each.name for each in fields(Faults)}
        if unknown:
            raise TypeError(f"no such faults: {', '.join(sorted(unknown))}")
        self._ask("set", faults)

    def clear(self) -> None:
        """Repair the line; lost packets stay lost."""
        self._ask("set", asdict(Faults()))

    def cut(self) -> None:
        """Reset all connections now (RST); new ones are accepted."""
        self._ask("cut")

    def jump_clock(self, seconds: float) -> None:
        """Shift the timestamps of all further RTP packets by `seconds`."""
        self._ask("jump", seconds)

    def retarget(self, port: int) -> None:
        """Forward new connections to another port."""
        self._ask("retarget", port)

    @property
    def connections(self) -> int:
        """Number of connections since the start."""
        return self._ask("connections")

    def _ask(self, name: str, argument: object = None) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, argument]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@dataclass
class Connection:
    """State that both directions of a connection share."""

    is_rtsp: bool | None = None
    """None until the client has sent something."""


class Line:
    """One direction of a connection: takes pieces, and passes them on late or bad."""

    def __init__(
        self,
        proxy: Proxy,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_request: bool,
    ) -> None:
        self._proxy = proxy
        self._connection = connection
        self._is_request = is_request
        self._reader = reader
        self._writer = writer
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._waiting_bytes = 0
        self._room = asyncio.Condition()
        self._held: bytes | None = None
        self._sequence: dict[int, int] = {}
        self._stuck: dict[int, int] = {}
        self._shifts: dict[int, int] = {}
        self._within: set[int] = set()
        self._frame: list[tuple[int, bytearray]] = []

    async def run(self) -> None:
        """Run until the sender closes it; data on its way still arrives."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive())
            tasks.create_task(self._send())

    async def _receive(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while piece := await self._piece():
                for each in self._spoiled(piece):
                    await self._put(each)
        if self._held is not None:
            await self._put(self._held)
        await self._put(b"")

    async def _put(self, piece: bytes) -> None:
        async with self._room:
            await self._room.wait_for(lambda: self._waiting_bytes <= _BUFFER_BYTES)
            self._waiting_bytes += len(piece)
        due = time.monotonic() + self._proxy.faults.delay_ms / 1000
        self._pieces.put_nowait((due, piece))

    async def _send(self) -> None:
        while True:
            due, piece = await self._pieces.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._proxy.flowing.wait()
            if not piece:
                with contextlib.suppress(OSError):
                    self._writer.write_eof()
                return
            kbps = self._proxy.faults.throttle_kbps
            if kbps:
                await asyncio.sleep(len(piece) * 8 / kbps / 1000)
            self._writer.write(piece)
            await self._writer.drain()
            async with self._room:
                self._waiting_bytes -= len(piece)
                self._room.notify()

    async def _piece(self) -> bytes:
        """The next packet or message of RTSP; of other protocols, available bytes."""
        first = b""
        if self._connection.is_rtsp is None and self._is_request:
            # The client's first message decides how both directions are parsed.
            first = await self._reader.read(len(_RTSP_BEGINNINGS[0]))
            self._connection.is_rtsp = first in _RTSP_BEGINNINGS
        if not self._connection.is_rtsp:
            return first or await self._reader.read(1 << 14)
        first = first or await self._reader.read(1)
        if first == b"$":
            head = first + await self._reader.readexactly(3)
            size = int.from_bytes(head[2:], "big")
            return head + await self._reader.readexactly(size)
        if not first:
            return b""
        head = first + await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return head + body

    def _spoiled(self, piece: bytes) -> list[bytes]:
        """The pieces that `piece` becomes on the way."""
        faults, rng = self._proxy.faults, self._proxy.rng
        is_rtp = self._connection.is_rtsp and piece[0] == 0x24 and piece[1] % 2 == 0
        if is_rtp:
            pieces = [
                bad for each in self._timed(piece) for bad in self._lossy(bytes(each))
            ]
        elif faults.refuse_second and self._is_request:
            pieces = [piece.replace(b"/stream=1 ", b"/stream=9 ")]
        else:
            pieces = [piece]
        if not faults.raw_corrupt:
            return pieces
        return [
            _flipped(each, 0, rng) if rng.random() < faults.raw_corrupt else each
            for each in pieces
        ]

    def _lossy(self, packet: bytes) -> list[bytes]:
        faults, rng = self._proxy.faults, self._proxy.rng
        if rng.random() < faults.drop:
            return []
        if rng.random() < faults.corrupt:
            packet = _flipped(packet, 4 + _RTP_HEADER_BYTES, rng)
        if self._held is not None:
            packets, self._held = [packet, self._held], None
            return packets
        if rng.random() < faults.reorder:
            self._held = packet
            return []
        return [packet]

    def _timed(self, piece: bytes) -> list[bytearray]:
        """The packet with the timestamp that the faults ask for, and repetitions."""
        faults, channel = self._proxy.faults, piece[1]
        packet = bytearray(piece)
        stamp = int.from_bytes(packet[8:12], "big")
        if channel not in self._within:
            # A clock that changes inside a frame would split it.
            self._shifts[channel] = self._proxy.shift
            if not faults.stick_clock:
                self._stuck.pop(channel, None)
            elif channel not in self._stuck:
                self._stuck[channel] = stamp + self._proxy.shift
        is_end = packet[5] & 0x80  # the marker: the frame ends here
        (self._within.discard if is_end else self._within.add)(channel)
        stamp = self._stuck.get(channel, stamp + self._shifts[channel])
        packet[8:12] = (stamp & 0xFFFFFFFF).to_bytes(4, "big")
        packets = [packet]
        if faults.flood:
            self._frame.append((stamp, packet))
            if is_end:
                for repeat in range(1, faults.flood + 1):
                    for then, each in self._frame:
                        copy = bytearray(each)
                        later = (then + repeat) & 0xFFFFFFFF
                        copy[8:12] = later.to_bytes(4, "big")
                        packets.append(copy)
                self._frame = []
        else:
            self._frame = []
        for each in packets:
            before = self._sequence.get(channel)
            if before is None:
                before = int.from_bytes(each[6:8], "big") - 1
            self._sequence[channel] = number = (before + 1) & 0xFFFF
            each[6:8] = number.to_bytes(2, "big")
        return packets


def _flipped(data: bytes, start: int, rng: random.Random) -> bytes:
    """`data` with one to four bits flipped, at or after byte `start`."""
    if len(data) <= start:
        return data
    spoiled = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        spoiled[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


class Proxy:
    """The server in the child process: a listener, its connections and commands."""

    def __init__(self, target_port: int, seed: int) -> None:
        self.faults = Faults()
        self.rng = random.Random(seed)
        self.shift = 0
        """Added to all RTP timestamps."""
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._target_port = target_port
        self._connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        commands: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def listen() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(commands.put_nowait, line)
            loop.call_soon_threadsafe(commands.put_nowait, "")

        threading.Thread(target=listen, daemon=True).start()
        while line := await commands.get():
            name, argument = json.loads(line)
            print(json.dumps(self._execute(name, argument)), flush=True)
        server.close()

    def _execute(self, name: str, argument: object) -> int:
        if name == "set":
            assert isinstance(argument, dict)
            for fault, value in argument.items():
                setattr(self.faults, fault, value)
            if self.faults.stall:
                self.flowing.clear()
            else:
                self.flowing.set()
        elif name == "cut":
            for writer in self._writers:
                _reset(writer)
        elif name == "jump":
            assert isinstance(argument, float | int)
            self.shift += round(argument * 90000)
        elif name == "retarget":
            assert isinstance(argument, int)
            self._target_port = argument
        return self._connections

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections += 1
        both = {writer}
        self._writers.add(writer)
        try:
            if self.faults.refuse:
                _reset(writer)
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            both.add(back)
            self._writers.add(back)
            connection = Connection()
            ways = [
                Line(self, connection, reader, back, is_request=True),
                Line(self, connection, there, writer, is_request=False),
            ]
            tasks = [asyncio.create_task(way.run()) for way in ways]
            # Neither RTSP nor HTTP continues with half a connection.
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            _reset(writer)  # the target is away
        finally:
            self._writers -= both
            for each in both:
                each.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees an error (RST) and not an end."""
    plain = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


if __name__ == "__main__":
    asyncio.run(Proxy(int(sys.argv[1]), int(sys.argv[2])).serve())
