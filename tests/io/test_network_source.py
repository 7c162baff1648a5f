"""RTSP over real servers and bad lines."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from streamdenoise.errors import (
    SourceLostError,
    SourceOpenError,
    SourceRefusedError,
)
from streamdenoise.frame import Frame
from streamdenoise.io.options import ReadOptions, Transport
from streamdenoise.io.sources.network import NetworkSource
from streamdenoise.io.url import StreamURL
from tests.faults.proxy import FaultProxy
from tests.faults.rtsp_server import RTSPServer
from tests.faults.servers import GstServer, VlcServer, free_port
from tests.support.streams import (
    SLACK_S,
    assert_complete,
    numbers,
    readable_numbers,
    seconds_until_lost,
    take,
)

RATE = 50
STEP = 90000 // RATE


@pytest.fixture(scope="module")
def server() -> Iterator[GstServer]:
    with GstServer(rate=RATE) as running:
        yield running


@pytest.fixture(scope="module")
def locked() -> Iterator[dict[str, GstServer]]:
    with (
        GstServer(rate=RATE, auth="basic") as basic,
        GstServer(rate=RATE, auth="digest", password="p@ss:w/ö%rd") as digest,
    ):
        yield {"basic": basic, "digest": digest}


@pytest.fixture
def proxy(server: GstServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.port, seed=1) as running:
        yield running


# Servers


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("auth", ["none", "basic", "digest"])
def test_gstreamer(
    server: GstServer, locked: dict[str, GstServer], auth: str, transport: str
) -> None:
    url = locked.get(auth, server).url()
    with NetworkSource(
        url, ReadOptions(transport=Transport(transport), timeout_s=5)
    ) as source:
        info = source.info
        assert info.is_live
        assert (info.width, info.height, info.frame_rate) == (320, 180, RATE)
        frames = take(source, 30)
        assert source.skipped == source.damaged == 0
    assert frames[0].pts == 0  # the server omits the first timestamp
    assert_complete(frames, STEP)


def test_udp_if_the_server_has_no_tcp() -> None:
    with GstServer(rate=RATE, protocols="udp") as server:
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            assert_complete(take(source, 5), STEP)
        assert server.connections == 1
        with pytest.raises(SourceOpenError, match=r"transport tcp|5XX"):
            NetworkSource(
                server.url(), ReadOptions(transport=Transport.TCP, timeout_s=5)
            )


def test_vlc() -> None:
    with (
        VlcServer(password="secret") as server,
        NetworkSource(StreamURL(server.url()), ReadOptions(timeout_s=5)) as source,
    ):
        frames = take(source, 20)
        shown = readable_numbers(frames)
        # VLC loses the last frame of the clip whenever it repeats the clip.
        assert {b - a for a, b in pairwise(shown) if b > a} == {1}


@pytest.mark.parametrize("auth", ["basic", "digest"])
@pytest.mark.parametrize("password", ["wrong", ""])
def test_wrong_password(locked: dict[str, GstServer], auth: str, password: str) -> None:
    server = locked[auth]
    before = server.connections
    url = server.url(password=password)
    with pytest.raises(SourceRefusedError, match="password refused") as caught:
        NetworkSource(url, ReadOptions(timeout_s=5))
    assert "wrong" not in str(caught.value)
    assert server.connections == before + 1


def test_a_wrong_password_is_sent_once() -> None:
    with (
        RTSPServer(password="secret") as server,
        pytest.raises(SourceRefusedError),
    ):
        NetworkSource(
            f"rtsp://me:wrong@127.0.0.1:{server.port}/x", ReadOptions(timeout_s=5)
        )
    assert server.methods == ["OPTIONS", "DESCRIBE", "DESCRIBE"]


def test_no_such_stream(server: GstServer) -> None:
    for url, why in (
        (server.url("elsewhere"), "404"),
        (f"rtsp://127.0.0.1:{free_port()}/live", "refused"),
        ("rist://127.0.0.1:9000", "does not support rist"),
    ):
        with pytest.raises(SourceOpenError, match=why) as caught:
            NetworkSource(url, ReadOptions(timeout_s=5))
        assert not isinstance(caught.value, SourceRefusedError)


def test_silence_at_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
        begin = time.monotonic()
        with pytest.raises(SourceOpenError, match="no answer in time"):
            NetworkSource(url, ReadOptions(timeout_s=0.5))
        assert 0.5 <= time.monotonic() - begin < 0.5 + SLACK_S


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 4096])
def test_a_server_of_another_protocol(answer: bytes) -> None:
    def respond() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
        responder = threading.Thread(target=respond)
        responder.start()
        with pytest.raises(SourceOpenError, match="cannot be opened"):
            NetworkSource(url, ReadOptions(timeout_s=1, transport=Transport.TCP))
        responder.join()


@pytest.mark.parametrize("moment", ["opening", "playing"])
def test_answers_without_an_end(moment: str) -> None:
    """FFmpeg makes room for the two gigabytes that an answer announces."""
    sent = 0

    def respond() -> None:
        nonlocal sent
        connection, _ = listener.accept()
        # A good server, until one answer announces too much.
        with (
            connection,
            socket.create_connection(("127.0.0.1", server.port)) as inner,
            contextlib.suppress(OSError),
        ):
            passed = threading.Thread(target=pass_on, args=(connection, inner))
            passed.start()
            while data := inner.recv(65536):
                is_late = moment == "playing" and time.monotonic() > begin + 2
                if is_late or (moment == "opening" and b"application/sdp" in data):
                    break
                connection.sendall(data)
            connection.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: a/b\r\n")
            connection.sendall(b"Content-Length: 2000000000\r\n\r\n")
            while sent < 2000:
                connection.sendall(bytes(2**20))
                sent += 1
            passed.join()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    begin = time.monotonic()
    with (
        GstServer(rate=RATE) as server,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
        responder = threading.Thread(target=respond)
        responder.start()
        options = ReadOptions(timeout_s=20, transport=Transport.TCP)
        with (
            pytest.raises((SourceOpenError, SourceLostError), match="64 MiB without"),
            NetworkSource(url, options) as source,
        ):
            list(source)
        responder.join()
    assert 64 <= sent < 1000


# Faults


def test_frozen_and_resumed(server: GstServer) -> None:
    with NetworkSource(server.url(), ReadOptions(timeout_s=3)) as source:
        take(source, 5)
        server.freeze()
        try:
            assert seconds_until_lost(source, "no answer in time") < 3 + SLACK_S
            with pytest.raises(SourceOpenError, match="no answer in time"):
                NetworkSource(server.url(), ReadOptions(timeout_s=0.3))
        finally:
            server.resume()
    with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
        shown = readable_numbers(take(source, 5))
    assert shown == sorted(set(shown))


def test_killed_and_restarted() -> None:
    with GstServer(rate=RATE) as server:
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            before = take(source, 5)
            server.kill()
            rest: list[Frame] = []
            assert seconds_until_lost(source, "the other side ended it", rest) < SLACK_S
        assert_complete(before + rest, STEP)
        server.restart()
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            after = take(source, 5)
        assert_complete(after, STEP)
        assert readable_numbers(after)[0] > readable_numbers(before)[-1]


def test_cut_connection(server: GstServer, proxy: FaultProxy) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        take(source, 5)
        proxy.cut()
        assert seconds_until_lost(source, "ended it|reset") < SLACK_S


def test_stall_and_recovery(server: GstServer, proxy: FaultProxy) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        frames = take(source, 5)
        proxy.set(stall=True)
        timer = threading.Timer(1.5, proxy.clear)
        timer.start()
        frames += take(source, 2 * RATE)
        timer.join()
        assert_complete(frames, STEP)
        assert source.skipped == 0
        proxy.set(stall=True)
    with pytest.raises(SourceOpenError, match="no answer in time"):
        NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=0.5))


def test_no_key_frame() -> None:
    with GstServer(rate=RATE) as server:
        server.command("key-frames off")
        with pytest.raises(SourceOpenError, match=r"no frame|no answer"):
            NetworkSource(server.url(), ReadOptions(timeout_s=1))
        server.command("key-frames on")
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            assert_complete(take(source, 5), STEP)


def test_join_between_key_frames() -> None:
    """The second client of a camera starts with frames whose references it lacks."""
    with (
        GstServer(rate=RATE, key_interval=60) as server,
        NetworkSource(server.url(), ReadOptions(timeout_s=5)) as first,
    ):
        take(first, 30)
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as second:
            assert_complete(take(second, 10), STEP)


def test_another_size(server: GstServer) -> None:
    with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
        frames = take(source, 5)
        server.command("size 640x360")
        try:
            # The numbers of scaled frames are readable, too.
            frames += take(source, RATE)
            with NetworkSource(
                server.url(), ReadOptions(size=(320, 180), timeout_s=5)
            ) as again:
                assert (again.info.width, again.info.height) == (320, 180)
                scaled = take(again, 5)
        finally:
            server.command("size 320x180")
        assert_complete(frames, STEP)
        assert {frame.planes[0].shape for frame in frames + scaled} == {(180, 320)}
        readable_numbers(scaled)


def test_another_codec() -> None:
    with (
        GstServer(rate=RATE, change_codec=True) as server,
        NetworkSource(server.url(), ReadOptions(timeout_s=3)) as source,
    ):
        take(source, 5)
        server.command("codec h265")
        assert seconds_until_lost(source, "no frame can be decoded") < 3 + SLACK_S
        assert source.skipped > 0


@pytest.mark.parametrize("jump_s", [-1000, 1000])
def test_clock_that_jumps(server: GstServer, proxy: FaultProxy, jump_s: int) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        frames = take(source, 5)
        proxy.jump_clock(jump_s)
        frames += take(source, RATE)
        shown = numbers(frames)
        assert {b - a for a, b in pairwise(shown) if a and b} == {1}
        assert all(b.pts > a.pts for a, b in pairwise(frames))
        assert source.skipped == 0


def test_clock_that_stands_still(server: GstServer, proxy: FaultProxy) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        take(source, 5)
        proxy.set(stick_clock=True)
        assert seconds_until_lost(source, "clock stands still") < 1 + SLACK_S


def test_flood(server: GstServer, proxy: FaultProxy) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        take(source, 5)
        proxy.set(flood=15)
        assert seconds_until_lost(source, "far more frames") < 5 + SLACK_S


def test_bad_line(server: GstServer, proxy: FaultProxy) -> None:
    """Damaged packets cost frames, never the stream."""
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=3)) as source:
        proxy.set(drop=0.03, corrupt=0.03, reorder=0.03)
        frames = take(source, RATE)
        proxy.clear()
        # After the next key frame all is well again.
        frames += take(source, RATE)
        assert {b - a for a, b in pairwise(readable_numbers(frames[-10:]))} == {1}
        assert all(b.pts > a.pts for a, b in pairwise(frames))


def test_slow_reader_skips_to_the_next_key_frame(server: GstServer) -> None:
    with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
        frames = []
        begin = time.monotonic()
        for frame in source:
            frames.append(frame)
            time.sleep(0.06)  # three frame times
            if source.skipped or time.monotonic() > begin + 20:
                break
        assert source.skipped > 0
        left_out = source.skipped
        frames += take(source, 10)
        shown = readable_numbers(frames)
        gaps = [b - a - 1 for a, b in pairwise(shown) if b - a > 1]
        assert sum(gaps) == left_out
