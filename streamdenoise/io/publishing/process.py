"""The connection to a server: a separate program that sends the packets from stdin.

FFmpeg's writers have no timeouts, and PyAV holds the interpreter lock while they
connect and disconnect, so a server that stalls would stop all threads of a process.
Here it only stops this program, which ends itself or is killed.

It is run by file name and imports nothing from the package, so that it starts quickly.

Input on stdin: one line of JSON (`url`, `format`, `options`, `timeout_s`, and `head`, a
length in bytes); a NUT file of that length, which describes the stream; then for each
packet a `PACKET` header and its bytes. Output on stdout, one line for each: ``ready``
when the server accepts the stream, ``ok`` when a packet has been sent; or a final
``refused:`` or ``error:`` with the reason.
"""

import contextlib
import faulthandler
import io
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
import av.error

PACKET = struct.Struct("<IB?qq")
"""Length in bytes, number of the stream, whether it is a key frame, and pts and dts in
units of 1/90000 s."""

TIME_BASE = Fraction(1, 90000)
"""Video clock of RTP and MPEG-TS; finer than the timestamps of any camera."""

_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)


def publish(stdin: BinaryIO, silent: BinaryIO) -> None:
    """Connect, and send packets until stdin ends.

    Raises:
        OSError, ValueError: The server cannot be reached or rejects the stream.
    """
    asked = json.loads(stdin.readline())
    head = av.open(io.BytesIO(stdin.read(asked["head"])), format="nut")
    timeout_s = asked["timeout_s"]
    limit_s = timeout_s + 2  # later than the parent, which has a better message
    with _time_limit(limit_s, silent):
        container = av.open(
            asked["url"],
            "w",
            format=asked["format"],
            container_options=asked["options"],
        )
        streams = [container.add_stream_from_template(each) for each in head.streams]
        container.start_encoding()
    _watch_connections(timeout_s)
    _send_line("ready")
    while len(header := stdin.read(PACKET.size)) == PACKET.size:
        length, number, is_key, pts, dts = PACKET.unpack(header)
        data = stdin.read(length)
        if len(data) < length:
            break
        packet = av.Packet(data)
        packet.pts, packet.dts, packet.time_base = pts, dts, TIME_BASE
        packet.is_keyframe = is_key
        packet.stream = streams[number]
        with _time_limit(limit_s, silent):
            container.mux(packet)
        _send_line("ok")
    with _time_limit(limit_s, silent):
        container.close()


@contextlib.contextmanager
def _time_limit(seconds: float, silent: BinaryIO) -> Iterator[None]:
    """Exit the process if the block takes longer, even without a parent.

    The thread of `faulthandler` does not need the interpreter lock, which the block may
    hold.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=silent)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watch_connections(timeout_s: float) -> None:
    """Send small packets immediately, and detect a peer that has disappeared.

    FFmpeg's RTSP has no options for this, so this finds its sockets.
    """
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            connection = socket.socket(fileno=descriptor)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    milliseconds = round(1000 * timeout_s)
                    connection.setsockopt(
                        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds
                    )
            finally:
                connection.detach()


def _send_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _reason(exc: BaseException) -> str:
    # str() of FFmpeg's errors includes the address with its password.
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return str(text).splitlines()[0]


def main() -> None:
    # The parent decides when to exit, but service managers signal every process.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError), open(os.devnull, "wb") as silent:
        try:
            publish(sys.stdin.buffer, silent)
        except _REFUSED:
            _send_line("refused: user name or password refused")
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            _send_line(f"error: {_reason(exc)}")
    # Immediately: a normal exit would close the container, which may block again.
    os._exit(0)


if __name__ == "__main__":
    main()
