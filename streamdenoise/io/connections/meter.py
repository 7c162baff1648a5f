"""Limits on connections that FFmpeg makes by itself."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from streamdenoise.io.connections.intake import MAX_PACKET_BYTES, TOO_MUCH

_TICK_S = 0.1

# Linux's tcp_info has the number of received bytes at this place.
_RECEIVED = struct.Struct("=128xQ")


class SocketMeter:
    """Ends a TCP connection on which too much comes from one packet to the next.

    FFmpeg makes room for whatever length an answer announces. It has no hook between
    its sockets and its protocols, so this looks for the socket and asks the kernel.

    Args:
        port: The server's port; the connection is the next one of this process to it.
    """

    def __init__(self, port: int) -> None:
        self.fault = ""
        """Why the connection was ended; empty if it was not."""
        self._port = port
        self._others = set(self._found())
        self._mine: int | None = None
        self._received = self._noted = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._thread.start()

    def packet(self) -> None:
        """Note that a packet is complete."""
        self._noted = self._received

    def close(self) -> None:
        """Stop looking; any number of times."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_TICK_S) and not self.fault:
            if self._mine is None:
                self._mine = min(set(self._found()) - self._others, default=None)
            if self._mine is not None:
                self._check(self._mine)

    def _check(self, descriptor: int) -> None:
        with suppress(OSError), _borrowed(descriptor) as connection:
            if connection.getpeername()[1:2] != (self._port,):
                return  # closed, and its number is in use again
            info = connection.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size
            )
            (self._received,) = _RECEIVED.unpack(info)
            if self._received - self._noted > MAX_PACKET_BYTES:
                self.fault = TOO_MUCH
                connection.shutdown(socket.SHUT_RDWR)

    def _found(self) -> Iterator[int]:
        """Descriptors of this process's connections to the port."""
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError), _borrowed(int(name)) as connection:
                if connection.type == socket.SOCK_STREAM and (
                    connection.getpeername()[1:2] == (self._port,)
                ):
                    yield int(name)


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    connection = socket.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()
