"""Clients of the status page that are slow, malicious or many."""

import os
import random
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from streamdenoise.service import status_server
from streamdenoise.service.status_server import MAX_CONNECTIONS, StatusServer
from tests.service.status import RUNNING, ask, connect
from tests.support.skips import skip_or_fail
from tests.support.waiting import wait_until


def test_fifty_clients_at_once_are_served(server: StatusServer):
    server.update(RUNNING)
    start = threading.Barrier(50)

    def client(number: int) -> str:
        start.wait()
        path = ("/metrics", "/status", "/healthz")[number % 3]
        status, _, page = ask(server, path)
        assert status == 200
        return page

    with ThreadPoolExecutor(50) as pool:
        pages = list(pool.map(client, range(50)))
    assert all(page == "ok\n" for page in pages[2::3])


def test_silent_clients_are_disconnected_and_block_no_other(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status_server, "CONNECTION_S", 1.5)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(connect(server)) for _ in range(MAX_CONNECTIONS + 8)
        ]
        assert ask(server)[0] == 200  # queued behind the silent ones
        for client in silent:
            assert client.recv(1) == b""


def test_a_client_that_sends_slowly_is_disconnected(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status_server, "CONNECTION_S", 1.0)
    with connect(server) as client:
        client.settimeout(0.02)

        def is_disconnected() -> bool:
            try:
                client.sendall(b"X")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_disconnected)


def test_a_client_that_does_not_read_is_disconnected(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status_server, "CONNECTION_S", 1.0)
    notes = ["0" * 1000] * 20_000  # far more than fits in socket buffers
    server.update(replace(RUNNING, notes=notes))
    with connect(server) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_until(lambda: bool(client_threads()))
        wait_until(lambda: not client_threads())
        assert ask(server)[0] == 200


def client_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "status-client"]


def test_garbage_and_broken_connections(server: StatusServer):
    server.update(RUNNING)
    rng = random.Random(7)
    for garbage in (
        *(rng.randbytes(rng.randrange(1, 3000)) for _ in range(60)),
        b"GET / HTTP/1.0\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"\r\n" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of a TLS handshake
        b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nabc",
    ):
        with connect(server) as client:
            try:
                client.sendall(garbage)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except OSError:
                continue  # the server may have closed the connection
    for _ in range(20):
        with connect(server) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            linger = struct.pack("ii", 1, 0)  # closing resets the connection
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert ask(server)[0] == 200
    wait_until(lambda: not client_threads())


def test_closing_leaves_no_threads_and_descriptors():
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").is_dir():
        skip_or_fail("linux", "only Linux lists descriptors")
    before = descriptors()
    with ExitStack() as stack:
        server = stack.enter_context(StatusServer(":0", "", stall_s=1.0))
        address = server.address
        silent = [connect(server) for _ in range(MAX_CONNECTIONS + 4)]
        wait_until(lambda: len(client_threads()) == MAX_CONNECTIONS)
        server.close()
        assert not client_threads()
        server.close()
    for client in silent:
        client.close()
    assert descriptors() == before
    with StatusServer(address, "", stall_s=1.0) as again:
        assert again.address == address


def test_a_server_that_was_not_started_can_be_closed():
    StatusServer(":0", "", stall_s=1.0).close()
