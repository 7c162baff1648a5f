"""The connection to a server: a program of its own that sends what arrives on stdin.

FFmpeg's writers have no time-outs, and PyAV keeps the interpreter to itself while they
connect and say goodbye: a server that stalls would stop all threads of a process. Here
it stops this one alone, which ends itself, or is killed.

It is run by file name and imports nothing of the package, to start in a moment.

In, on stdin: one line of JSON (`url`, `format`, `options`, `timeout_s`, and `head`, a
length in bytes); a NUT file of that length, which describes the stream; then for each
packet a `PACKET` and its bytes. Out, on stdout, a line for each: ``ready`` when the
server takes the stream, ``ok`` when a packet is sent; or the last one, ``refused:`` or
``error:`` and what happened.
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

PACKET = struct.Struct("<I?qq")
"""Length in bytes, whether it is a key frame, pts and dts in units of 1/90000 s."""

TIME_BASE = Fraction(1, 90000)
"""RTP's and MPEG-TS's clock for video; finer than any camera's timestamps."""

_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)


def publish(stdin: BinaryIO, silent: BinaryIO) -> None:
    """Connect, and send packets until stdin ends.

    Raises:
        OSError, ValueError: The server cannot be reached, or does not take the stream.
    """
    asked = json.loads(stdin.readline())
    head = av.open(io.BytesIO(stdin.read(asked["head"])), format="nut")
    timeout_s = asked["timeout_s"]
    limit_s = timeout_s + 2  # later than the parent, which knows what to say
    with _limited(limit_s, silent):
        container = av.open(
            asked["url"],
            "w",
            format=asked["format"],
            container_options=asked["options"],
        )
        stream = container.add_stream_from_template(head.streams.video[0])
        container.start_encoding()
    _watch_connections(timeout_s)
    _tell("ready")
    while len(header := stdin.read(PACKET.size)) == PACKET.size:
        length, is_key, pts, dts = PACKET.unpack(header)
        data = stdin.read(length)
        if len(data) < length:
            break
        packet = av.Packet(data)
        packet.pts, packet.dts, packet.time_base = pts, dts, TIME_BASE
        packet.is_keyframe = is_key
        packet.stream = stream
        with _limited(limit_s, silent):
            container.mux(packet)
        _tell("ok")
    with _limited(limit_s, silent):
        container.close()


@contextlib.contextmanager
def _limited(seconds: float, silent: BinaryIO) -> Iterator[None]:
    """End the process when the block lasts longer, parent or not.

    The fault handler's thread needs no interpreter, which the block may hold.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=silent)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watch_connections(timeout_s: float) -> None:
    """Send small packets at once, and notice a peer that has vanished without a word.

    FFmpeg has no options for this in RTSP, so its sockets are looked for.
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


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _reason(exc: BaseException) -> str:
    # Not str() of FFmpeg's errors: it names the address, password and all.
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return str(text).splitlines()[0]


def main() -> None:
    # The parent decides when it ends: service managers signal every process.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError), open(os.devnull, "wb") as silent:
        try:
            publish(sys.stdin.buffer, silent)
        except _REFUSED:
            _tell("refused: user name or password refused")
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            _tell(f"error: {_reason(exc)}")
    # At once: a tidy exit would close the container, which may wait again.
    os._exit(0)


if __name__ == "__main__":
    main()
