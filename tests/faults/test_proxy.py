"""The fault proxy injects exactly the faults that are set."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.faults.proxy import FaultProxy
from tests.faults.servers import GstServer, Published, numbered_frame, shown_numbers

OPENING = b"OPTIONS rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n"
ANSWER = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\n$$$$"


def packet(number: int, size: int = 100, *, is_end: bool = True) -> bytes:
    """A framed RTP packet; `is_end` sets the marker that ends a frame."""
    header = b"\x80\xe0" if is_end else b"\x80\x60"
    header += number.to_bytes(2, "big") + (number * 3600).to_bytes(4, "big")
    data = header + b"\0\0\0\1" + bytes(size)
    return b"$\0" + len(data).to_bytes(2, "big") + data


@contextmanager
def line(seed: int = 0) -> Iterator[tuple[FaultProxy, socket.socket, socket.socket]]:
    """A proxy, and both ends of a connection through it: client, server."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(listener.getsockname()[1], seed=seed) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        server, _ = listener.accept()
        server.settimeout(5)
        with server:
            client.sendall(OPENING)
            assert receive(server, len(OPENING)) == OPENING
            server.sendall(ANSWER)
            assert receive(client, len(ANSWER)) == ANSWER
            yield proxy, client, server


def receive(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += (piece := end.recv(size - len(data)))
        if not piece:
            break
    return data


def packets_of(end: socket.socket) -> list[bytes]:
    """All packets up to the end of the connection."""
    packets = []
    while head := receive(end, 4):
        packets.append(head + receive(end, int.from_bytes(head[2:], "big")))
    return packets


def through(seed: int, count: int, **faults: float) -> list[bytes]:
    with line(seed) as (proxy, client, server):
        proxy.set(**faults)
        server.sendall(b"".join(map(packet, range(count))))
        server.close()
        return packets_of(client)


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(each[6:8], "big") for each in packets]


def stamps(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(each[8:12], "big") for each in packets]


def test_a_good_line_changes_nothing() -> None:
    assert through(0, 200) == list(map(packet, range(200)))


def test_drops_are_those_of_the_seed() -> None:
    first, again, other = (through(seed, 200, drop=0.25) for seed in (1, 1, 2))
    assert first == again != other
    assert 120 < len(first) < 180
    assert set(first) < set(map(packet, range(200)))


def test_corruption_spares_headers_and_framing() -> None:
    got = through(3, 200, corrupt=0.5)
    sent = list(map(packet, range(200)))
    bad = [index for index in range(200) if got[index] != sent[index]]
    assert 60 < len(bad) < 140
    assert [each[:16] for each in got] == [each[:16] for each in sent]
    assert list(map(len, got)) == list(map(len, sent))


def test_reordered_packets_are_all_there() -> None:
    got = through(4, 200, reorder=0.2)
    assert sorted(got) == sorted(map(packet, range(200)))
    assert 20 < sum(b < a for a, b in pairwise(numbers(got))) < 70


def test_clocks_and_floods() -> None:
    stuck = through(5, 20, stick_clock=True)
    assert set(stamps(stuck)) == {0}
    flood = through(5, 20, flood=3)
    assert numbers(flood) == list(range(80))
    assert stamps(flood)[:5] == [0, 1, 2, 3, 3600]
    with line() as (proxy, client, server):
        server.sendall(packet(1))
        assert stamps([receive(client, len(packet(1)))]) == [3600]
        proxy.jump_clock(-10)
        server.sendall(packet(2))
        expected = (7200 - 900_000) % (1 << 32)
        assert stamps([receive(client, len(packet(2)))]) == [expected]


def test_clocks_change_only_between_frames() -> None:
    with line() as (proxy, client, server):

        def stamp(number: int, *, is_end: bool) -> int:
            sent = packet(number, is_end=is_end)
            server.sendall(sent)
            return stamps([receive(client, len(sent))])[0]

        assert stamp(1, is_end=False) == 3600
        proxy.set(stick_clock=True)
        proxy.jump_clock(1)
        assert stamp(1, is_end=True) == 3600
        assert stamp(2, is_end=False) == 7200 + 90_000
        proxy.clear()
        assert stamp(2, is_end=True) == 7200 + 90_000
        assert stamp(3, is_end=True) == 3 * 3600 + 90_000


def test_delay_stall_and_throttle() -> None:
    with line() as (proxy, client, server):
        proxy.set(delay_ms=300)
        begin = time.monotonic()
        server.sendall(packet(0))
        receive(client, len(packet(0)))
        assert time.monotonic() - begin >= 0.3
        proxy.clear()
        proxy.set(stall=True)
        server.sendall(packet(1))
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.clear()
        client.settimeout(5)
        assert receive(client, len(packet(1))) == packet(1)
        proxy.set(throttle_kbps=80)  # 10 bytes a millisecond
        begin = time.monotonic()
        server.sendall(b"".join(packet(number, 984) for number in range(5)))
        receive(client, 5 * 1000)
        assert time.monotonic() - begin >= 0.5


def test_a_stalled_line_holds_the_sender_back() -> None:
    with line() as (proxy, client, server):
        proxy.set(stall=True)
        server.settimeout(0.5)
        with pytest.raises(TimeoutError):
            server.sendall(packet(0, 60000) * 2000)
        proxy.clear()
        sink = threading.Thread(target=packets_of, args=(client,))
        sink.start()
        server.close()
        sink.join(10)
        assert not sink.is_alive()


def test_cut_refuse_and_retarget() -> None:
    with line() as (proxy, client, server):
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionResetError):
            server.recv(1)
        proxy.set(refuse=True)
        with (
            pytest.raises(ConnectionResetError),
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as refused,
        ):
            refused.recv(1)
        proxy.clear()
        with socket.create_server(("127.0.0.1", 0)) as other:
            proxy.retarget(other.getsockname()[1])
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as end:
                moved, _ = other.accept()
                with moved:
                    end.sendall(b"something else")
                    assert receive(moved, 14) == b"something else"
        assert proxy.connections == 3


def test_other_protocols_pass_as_bytes() -> None:
    data = bytes(range(256)) * 64
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(listener.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        server, _ = listener.accept()
        with server:
            server.settimeout(5)
            server.sendall(data)  # before the client sends anything
            assert receive(client, len(data)) == data
            client.sendall(data)
            assert receive(server, len(data)) == data
            proxy.set(raw_corrupt=1)
            server.sendall(data)
            assert receive(client, len(data)) != data


def publish(
    server: GstServer, proxy: FaultProxy, frames: range, least: int
) -> list[Published]:
    """Publish `frames`; return what the server received after `least` of them."""
    url, options = server.url("record", port=proxy.port), {"rtsp_transport": "tcp"}
    fast = {"preset": "ultrafast", "tune": "zerolatency"}
    before = len(server.published())
    with av.open(url, "w", format="rtsp", options=options) as out:
        stream = out.add_stream("libx264", rate=50, options=fast)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in frames:
            frame = numbered_frame(number, 320, 180)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        # When the publisher leaves, the server discards what it has not parsed.
        deadline = time.monotonic() + 10
        while len(units := server.published()) < before + least:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    return units


def test_published_frames_can_be_read_back(tmp_path: Path) -> None:
    with (
        GstServer(auth="digest", record_to=tmp_path) as server,
        FaultProxy(server.port, seed=6) as proxy,
    ):
        publish(server, proxy, range(40), 40)
        proxy.set(drop=0.3)
        publish(server, proxy, range(40, 80), 10)
        server.restart()
        proxy.clear()
        units = publish(server, proxy, range(80, 120), 40)
    sessions = [unit.session for unit in units]
    assert sessions == sorted(sessions)
    good = [[unit for unit in units if unit.session == session] for session in (0, 2)]
    assert shown_numbers(good[0]) == list(range(40))
    assert shown_numbers(good[1]) == list(range(80, 120))
    for each in good:
        steps = {b.rtp_timestamp - a.rtp_timestamp for a, b in pairwise(each)}
        assert {step % (1 << 32) for step in steps} == {1800}
    assert 0 < sessions.count(1) < 40
