"""The relay: a separate program that carries a TLS connection for FFmpeg.

    python -P -m streamdenoise.io.connections.relay

FFmpeg connects to a loopback port without encryption, and this program passes on what
both sides send. FFmpeg could do TLS by itself, but versions differ in whether they
check certificates, and none can pin one.

Input on stdin: one line of JSON (`host`, `port`, `timeout_s`, and the fields of
`Trust`). Output on stdout: ``ready PORT`` once the
server's certificate has been accepted; or a final ``untrusted:`` or ``error:``.
"""

import json
import os
import select
import signal
import socket
import ssl
import sys
from contextlib import suppress

from streamdenoise.io.connections.trust import CertificateError, Trust

_CHUNK_BYTES = 65536

# What waits between FFmpeg and the network makes a live stream late.
_BUFFER_BYTES = 65536

_GOODBYE_S = 0.5

_WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


def relay(asked: dict) -> None:
    """Connect, announce the port, and carry a single connection until it ends.

    Raises:
        OSError: The server cannot be reached, or its certificate is not accepted.
    """
    timeout_s = asked["timeout_s"]
    trust = Trust(asked["ca_file"], tuple(map(tuple, asked["pins"])), asked["insecure"])
    outer = trust.connect(asked["host"], asked["port"], timeout_s)
    outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        limit = round(1000 * timeout_s)
        outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        _say(f"ready {listener.getsockname()[1]}")
        ready, _, _ = select.select([listener, sys.stdin], [], [], timeout_s)
        if listener not in ready:
            return
        inner, _ = listener.accept()
    inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with inner, outer:
        carry(inner, outer, timeout_s)


def carry(inner: socket.socket, outer: ssl.SSLSocket, timeout_s: float) -> None:
    """Pass on what both send until one ends, or does not take it for `timeout_s`.

    The parent's end is no reason: FFmpeg ends with it, and what it sent counts.
    """
    inner.setblocking(False)
    outer.setblocking(False)
    directions = [[inner, outer, b""], [outer, inner, b""]]
    while True:
        moved = False
        reads: set[socket.socket] = set()
        writes: set[socket.socket] = set()
        for direction in directions:
            source, target, waiting = direction
            try:
                if not waiting:
                    waiting = source.recv(_CHUNK_BYTES)
                    if not waiting:
                        _say_goodbye(outer)
                        return
                    moved = True
            except _WAITS as wait:
                _note(wait, source, reads, writes, reads)
            try:
                if waiting:
                    waiting = waiting[target.send(waiting) :]
                    moved = True
            except _WAITS as wait:
                _note(wait, target, reads, writes, writes)
            direction[2] = waiting
        if moved:
            continue
        is_stuck = any(waiting for _, _, waiting in directions)
        limit_s = timeout_s if is_stuck else None
        if not any(select.select([*reads], [*writes], [], limit_s)):
            return


def _say_goodbye(outer: ssl.SSLSocket) -> None:
    """Let the server read all: closing with unread answers would reset the rest."""
    with suppress(OSError, ValueError):
        outer.unwrap()  # does not wait for the other side's goodbye
    with suppress(OSError):
        outer.shutdown(socket.SHUT_WR)
        outer.settimeout(_GOODBYE_S)
        while outer.recv(_CHUNK_BYTES):
            pass


def _note(
    wait: Exception,
    side: socket.socket,
    reads: set[socket.socket],
    writes: set[socket.socket],
    usual: set[socket.socket],
) -> None:
    """Wait for what a side needs: TLS may have to read before it can write."""
    if isinstance(wait, ssl.SSLWantReadError):
        reads.add(side)
    elif isinstance(wait, ssl.SSLWantWriteError):
        writes.add(side)
    else:
        usual.add(side)


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    # The parent decides when to exit, but service managers signal every process.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        relay(json.loads(sys.stdin.readline()))
    except CertificateError as exc:
        _say(f"untrusted: {json.dumps([str(exc), exc.advice])}")
    except (OSError, ValueError) as exc:
        _say(f"error: {getattr(exc, 'strerror', None) or exc}")
    os._exit(0)


if __name__ == "__main__":
    main()
