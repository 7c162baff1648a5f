"""Clients of the status page that are slow, malicious or many."""

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamdenoise.service import http_server
from streamdenoise.service.http_server import HTTPServer
from streamdenoise.service.status_server import StatusServer
from tests.service.status import RUNNING, ask, connect, health
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


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 4096:
        skip_or_fail("descriptors", f"only {hard} descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize(("count", "within_s"), [(120, 1.0), (2700, 5.0)])
def test_silent_clients_delay_no_other_and_are_disconnected(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch, count: int, within_s: float
):
    monkeypatch.setattr(http_server, "CONNECTION_S", 1.0)
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(server)) for _ in range(count)]
        start = time.monotonic()
        assert health(server) == (503, "starting\n")
        assert time.monotonic() - start < within_s
        for client in silent:
            assert is_closed(client)


def is_closed(client: socket.socket) -> bool:
    """Wait until the server has closed a connection."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_one_address_cannot_take_all_connections(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS_OF_ADDRESS", 4)
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 6)
    host, port = server.address.split(":")
    with ExitStack() as stack:

        def client(address: str) -> socket.socket:
            place = (host, int(port))
            source = (address, 0)
            return stack.enter_context(
                socket.create_connection(place, 20, source_address=source)
            )

        other = client("127.0.0.2")
        mine = [client("127.0.0.1") for _ in range(6)]
        assert all(map(is_closed, mine[:2]))
        more = client("127.0.0.3")
        client("127.0.0.4")
        assert is_closed(other)  # the oldest, now that all places are taken
        for open_one in (*mine[2:], more):
            open_one.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert open_one.recv(12) == b"HTTP/1.1 503"


def test_a_client_that_sends_slowly_is_disconnected(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http_server, "CONNECTION_S", 1.0)
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
    monkeypatch.setattr(http_server, "CONNECTION_S", 1.0)
    notes = ["0" * 100_000] * 80  # far more than fits in socket buffers
    server.update(replace(RUNNING, notes=notes))
    assert ask(server)[0] == 200  # opens what the server needs, once
    before = settled(descriptors)
    with connect(server) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_until(lambda: descriptors() == before + 2)  # both ends
        wait_until(lambda: descriptors() == before + 1)
        assert ask(server)[0] == 200


def settled(count: Callable[[], int]) -> int:
    """`count` once it has stayed the same for a while."""
    counts: list[int] = []

    def has_settled() -> bool:
        counts.append(count())
        return len(counts) >= 15 and len({*counts[-15:]}) == 1

    wait_until(has_settled)
    return counts[-1]


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        skip_or_fail("linux", "only Linux lists descriptors")
    return len(os.listdir(folder))


def test_garbage_and_broken_connections(
    server: StatusServer, caplog: pytest.LogCaptureFixture
):
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
    assert not caplog.records  # clients cannot fill the log


def test_closing_leaves_no_threads_and_descriptors():
    before = descriptors()
    with ExitStack() as stack:
        server = stack.enter_context(StatusServer(":0", "", stall_s=1.0))
        address = server.address
        silent = [connect(server) for _ in range(20)]
        assert ask(server)[0] == 200
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 2.0
        server.close()
    for client in silent:
        client.close()
    assert descriptors() == before
    with StatusServer(address, "", stall_s=1.0) as again:
        assert again.address == address


def test_closing_during_requests(caplog: pytest.LogCaptureFixture):
    """Says nothing of them; the threads that make their pages end."""
    begun, release = threading.Semaphore(0), threading.Event()

    def slow(request: Request) -> Response:
        begun.release()
        release.wait(20)
        return Response("late")

    server = HTTPServer(Starlette(routes=[Route("/", slow)]), "127.0.0.1", 0)
    server.start()
    host, port = server.address.split(":")
    with ExitStack() as stack:
        for _ in range(3):
            client = socket.create_connection((host, int(port)))
            stack.enter_context(client).sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert begun.acquire(timeout=20)
        server.close()
        release.set()
    assert not caplog.records


def test_a_server_that_was_not_started_can_be_closed():
    StatusServer(":0", "", stall_s=1.0).close()
