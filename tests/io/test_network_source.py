"""Streams over the network, from real servers and over bad lines.

Every picture shows its number, so that none can be lost or repeated unseen.
"""

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice, pairwise
from pathlib import Path

import av
import pytest

from streamdenoise.errors import (
    SourceLostError,
    SourceOpenError,
    SourceRefusedError,
)
from streamdenoise.frame import Frame
from streamdenoise.io.options import ReadOptions, Transport
from streamdenoise.io.sources.catch_up import CatchUp
from streamdenoise.io.sources.network import NetworkSource
from streamdenoise.io.sources.watchdog import StreamWatchdog
from streamdenoise.io.url import StreamURL
from tests.faults.frame_code import frame_number
from tests.faults.proxy import FaultProxy
from tests.faults.rtsp_server import RTSPServer
from tests.faults.servers import (
    FfmpegServer,
    GstServer,
    VlcServer,
    free_port,
    numbered_picture,
    wait_for_port,
    write_numbered_clip,
)

RATE = 50
STEP = 90000 // RATE
SLACK_S = 3.0
"""What a busy machine may add to a time-out."""


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


@pytest.fixture(scope="module")
def numbered_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s at 25 pictures a second, with two key pictures in each."""
    path = tmp_path_factory.mktemp("clip") / "numbered.mp4"
    write_numbered_clip(path, (320, 180), 25, 500, key_interval=12)
    return path


def take(source: NetworkSource, how_many: int) -> list[Frame]:
    return list(islice(iter(source), how_many))


def numbers(frames: list[Frame]) -> list[int | None]:
    return [frame_number(frame) for frame in frames]


def assert_whole(frames: list[Frame], step: int = STEP) -> None:
    """One picture after the other, at their times."""
    shown = numbers(frames)
    assert None not in shown
    assert {b - a for a, b in pairwise(shown)} == {1}
    assert {b.pts - a.pts for a, b in pairwise(frames)} == {step}
    assert [frame.index for frame in frames] == list(range(len(frames)))


def lost(source: NetworkSource, why: str, got: list[Frame] | None = None) -> float:
    """Read until the source is lost because of `why`; how long that took, in s."""
    begin = time.monotonic()
    frames = [] if got is None else got
    with pytest.raises(SourceLostError, match=why) as caught:
        frames.extend(iter(source))
    assert re.fullmatch(r"[^\n]*: the stream was lost \([^)]*\); .*", str(caught.value))
    return time.monotonic() - begin


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
    assert frames[0].pts == 0  # the server leaves the first timestamp out
    assert_whole(frames)


def test_udp_where_there_is_no_tcp() -> None:
    with GstServer(rate=RATE, protocols="udp") as server:
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            assert_whole(take(source, 5))
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
        shown = numbers(frames)
        assert None not in shown
        # VLC loses the last picture of the clip whenever it starts it again.
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


def test_nothing_there(server: GstServer) -> None:
    for url, why in (
        (server.url("elsewhere"), "404"),
        (f"rtsp://127.0.0.1:{free_port()}/live", "refused"),
        ("rist://127.0.0.1:9000", "does not speak rist"),
        ("srt://127.0.0.1:9000?passphrase=tellnobody", "other users would see"),
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
def test_a_server_of_something_else(answer: bytes) -> None:
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


# Faults


def test_frozen_and_resumed(server: GstServer) -> None:
    with NetworkSource(server.url(), ReadOptions(timeout_s=3)) as source:
        take(source, 5)
        server.freeze()
        try:
            assert lost(source, "no answer in time") < 3 + SLACK_S
            with pytest.raises(SourceOpenError, match="no answer in time"):
                NetworkSource(server.url(), ReadOptions(timeout_s=0.3))
        finally:
            server.resume()
    with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
        shown = numbers(take(source, 5))
    assert None not in shown
    assert shown == sorted(set(shown))


def test_killed_and_restarted() -> None:
    with GstServer(rate=RATE) as server:
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            before = take(source, 5)
            server.kill()
            rest: list[Frame] = []
            assert lost(source, "the other side ended it", rest) < SLACK_S
        assert_whole(before + rest)
        server.restart()
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            after = take(source, 5)
        assert_whole(after)
        last = numbers(before)[-1]
        assert last is not None
        assert min(numbers(after)) > last


def test_cut_connection(server: GstServer, proxy: FaultProxy) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        take(source, 5)
        proxy.cut()
        assert lost(source, "ended it|reset") < SLACK_S


def test_stall_and_recovery(server: GstServer, proxy: FaultProxy) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        frames = take(source, 5)
        proxy.set(stall=True)
        timer = threading.Timer(1.5, proxy.clear)
        timer.start()
        frames += take(source, 2 * RATE)
        timer.join()
        assert_whole(frames)
        assert source.skipped == 0
        proxy.set(stall=True)
    with pytest.raises(SourceOpenError, match="no answer in time"):
        NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=0.5))


def test_no_key_frame() -> None:
    with GstServer(rate=RATE) as server:
        server.command("key-frames off")
        with pytest.raises(SourceOpenError, match=r"no picture|no answer"):
            NetworkSource(server.url(), ReadOptions(timeout_s=1))
        server.command("key-frames on")
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
            assert_whole(take(source, 5))


def test_join_between_key_frames() -> None:
    """The second client of a camera meets pictures that refer to unknown ones."""
    with (
        GstServer(rate=RATE, key_interval=60) as server,
        NetworkSource(server.url(), ReadOptions(timeout_s=5)) as first,
    ):
        take(first, 30)
        with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as second:
            assert_whole(take(second, 10))


def test_another_size(server: GstServer) -> None:
    with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
        frames = take(source, 5)
        server.command("size 640x360")
        try:
            # Scaled pictures are read as well as others.
            frames += take(source, RATE)
            with NetworkSource(
                server.url(), ReadOptions(size=(320, 180), timeout_s=5)
            ) as again:
                assert (again.info.width, again.info.height) == (320, 180)
                scaled = take(again, 5)
        finally:
            server.command("size 320x180")
        assert_whole(frames)
        assert {frame.planes[0].shape for frame in frames + scaled} == {(180, 320)}
        assert None not in numbers(scaled)


def test_another_codec() -> None:
    with (
        GstServer(rate=RATE, change_codec=True) as server,
        NetworkSource(server.url(), ReadOptions(timeout_s=3)) as source,
    ):
        take(source, 5)
        server.command("codec h265")
        assert lost(source, "no picture can be decoded") < 3 + SLACK_S
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
        assert lost(source, "clock stands still") < 1 + SLACK_S


def test_flood(server: GstServer, proxy: FaultProxy) -> None:
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=5)) as source:
        take(source, 5)
        proxy.set(flood=15)
        assert lost(source, "far more pictures") < 5 + SLACK_S


def test_bad_line(server: GstServer, proxy: FaultProxy) -> None:
    """Damaged packets cost pictures, never the stream."""
    with NetworkSource(server.url(port=proxy.port), ReadOptions(timeout_s=3)) as source:
        proxy.set(drop=0.03, corrupt=0.03, reorder=0.03)
        frames = take(source, RATE)
        proxy.clear()
        # At least one key picture later all is well again.
        frames += take(source, RATE)
        assert_whole_end(frames)
        assert all(b.pts > a.pts for a, b in pairwise(frames))


def assert_whole_end(frames: list[Frame]) -> None:
    shown = numbers(frames[-10:])
    assert None not in shown
    assert {b - a for a, b in pairwise(shown)} == {1}


def test_slow_reader_skips_to_the_next_key_frame(server: GstServer) -> None:
    with NetworkSource(server.url(), ReadOptions(timeout_s=5)) as source:
        frames = []
        begin = time.monotonic()
        for frame in source:
            frames.append(frame)
            time.sleep(0.06)  # three times as long as there is
            if source.skipped or time.monotonic() > begin + 20:
                break
        assert source.skipped > 0
        left_out = source.skipped
        frames += take(source, 10)
        shown = numbers(frames)
        assert None not in shown
        gaps = [b - a - 1 for a, b in pairwise(shown) if b - a > 1]
        assert sum(gaps) == left_out


# Other protocols


def test_mpegts_over_udp(numbered_clip: Path) -> None:
    with (
        FfmpegServer(
            numbered_clip, "-f", "mpegts", "udp://127.0.0.1:PORT?pkt_size=1316"
        ) as sender,
        NetworkSource(
            f"udp://127.0.0.1:{sender.port}", ReadOptions(timeout_s=3)
        ) as source,
    ):
        assert source.info.is_live
        assert_whole(take(source, 25), 3600)
        sender.kill()
        assert lost(source, "no answer in time") < 3 + SLACK_S


def test_mpegts_over_tcp(numbered_clip: Path) -> None:
    with (
        FfmpegServer(
            numbered_clip, "-f", "mpegts", "tcp://127.0.0.1:PORT?listen=1"
        ) as sender,
        retried(f"tcp://127.0.0.1:{sender.port}") as source,
    ):
        assert source.info.is_live
        assert_whole(take(source, 25), 3600)
        sender.kill()
        assert lost(source, "the other side ended it|reset") < SLACK_S


def test_rtmp(numbered_clip: Path) -> None:
    with (
        FfmpegServer(
            numbered_clip,
            *("-listen", "1", "-f", "flv", "rtmp://127.0.0.1:PORT/live/x"),
        ) as sender,
        retried(f"rtmp://127.0.0.1:{sender.port}/live/x") as source,
    ):
        assert source.info.is_live
        assert_whole(take(source, 25), 40)
        sender.kill()
        lost(source, "the other side ended it|reset|broken|input/output")


@pytest.mark.usefixtures("srt_through")
def test_srt(numbered_clip: Path) -> None:
    with (
        FfmpegServer(
            numbered_clip, "-f", "mpegts", "srt://127.0.0.1:PORT?mode=listener"
        ) as sender,
        retried(f"srt://127.0.0.1:{sender.port}", timeout_s=1.5) as source,
    ):
        assert source.info.is_live
        assert_whole(take(source, 25), 3600)
        sender.freeze()
        lost(source, "nothing came|the other side ended it")
        sender.resume()
    with pytest.raises(
        SourceOpenError, match=r"srt://127\.0\.0\.1:\d+ cannot be opened"
    ):
        NetworkSource(f"srt://127.0.0.1:{free_port()}", ReadOptions(timeout_s=0.5))


def retried(url: str, timeout_s: float = 5) -> NetworkSource:
    """These servers take one connection: one cannot see whether they listen."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return NetworkSource(url, ReadOptions(timeout_s=timeout_s))
        except SourceOpenError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_rtp_by_its_description(numbered_clip: Path, tmp_path: Path) -> None:
    sdp = tmp_path / "camera.sdp"
    with FfmpegServer(
        numbered_clip,
        *("-an", "-sdp_file", str(sdp), "-f", "rtp", "rtp://127.0.0.1:PORT"),
    ):
        deadline = time.monotonic() + 10
        while not (sdp.exists() and "fmtp" in sdp.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with NetworkSource(str(sdp), ReadOptions(timeout_s=5)) as source:
            assert source.info.is_live
            assert_whole(take(source, 10), 3600)


@pytest.fixture
def hls(numbered_clip: Path, tmp_path: Path) -> Iterator[tuple[FfmpegServer, str]]:
    """A live playlist of four segments of half a second, and its address."""
    port = free_port()
    web = subprocess.Popen(
        [
            *(sys.executable, "-m", "http.server", "--bind", "127.0.0.1"),
            *("--directory", str(tmp_path), str(port)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, web)
        playlist = tmp_path / "live.m3u8"
        options = ("-hls_time", "0.4", "-hls_list_size", "4")
        flags = ("-hls_flags", "delete_segments", str(playlist))
        with FfmpegServer(numbered_clip, "-f", "hls", *options, *flags) as encoder:
            deadline = time.monotonic() + 15
            while not (playlist.exists() and "live2.ts" in playlist.read_text()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield encoder, f"http://127.0.0.1:{port}/live.m3u8"
    finally:
        web.kill()
        web.wait()


def test_live_playlist(hls: tuple[FfmpegServer, str]) -> None:
    encoder, url = hls
    with NetworkSource(url, ReadOptions(timeout_s=1.5)) as source:
        assert source.info.is_live
        frames = take(source, 30)
        assert_whole(frames, 3600)
        # Segments come at once, and are given as a camera would.
        elapsed = frames[-1].captured_at - frames[0].captured_at
        assert 29 / 25 - 0.5 < elapsed < 29 / 25 + SLACK_S
        encoder.kill()
        lost(source, "ended it|no answer in time")


def test_finished_playlist_is_a_recording(numbered_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.m3u8"
    with av.open(str(numbered_clip)) as clip, av.open(str(path), "w") as playlist:
        copied = playlist.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if (
                packet.dts is not None
                and packet.pts < clip.streams.video[0].duration / 5
            ):
                packet.stream = copied
                playlist.mux(packet)
    begin = time.monotonic()
    with NetworkSource(f"file://{path}", ReadOptions(timeout_s=3)) as source:
        assert not source.info.is_live
        assert len(list(source)) == 100
    assert time.monotonic() - begin < 3


def multipart(rate: float) -> type[BaseHTTPRequestHandler]:
    """A camera that sends JPEGs for ever, as long as somebody reads them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            kind = "multipart/x-mixed-replace;boundary=frame"
            self.send_header("Content-Type", kind)
            self.end_headers()
            with contextlib.suppress(OSError):
                for number in count():
                    data = jpeg(number)
                    head = "--frame\r\nContent-Type: image/jpeg\r\n"
                    length = f"Content-Length: {len(data)}\r\n\r\n"
                    self.wfile.write((head + length).encode() + data + b"\r\n")
                    time.sleep(1 / rate)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def jpeg(number: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 180, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    frame = numbered_picture(number, 320, 180).reformat(format="yuvj420p")
    frame.pts = 0
    return b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)]))


def test_mjpeg_over_http() -> None:
    """Its pictures bear no time: that of their arrival counts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), multipart(10)) as web:
        serving = threading.Thread(target=web.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{web.server_port}/video"
            with NetworkSource(url, ReadOptions(timeout_s=5)) as source:
                assert source.info.is_live
                assert source.info.frame_rate is None
                frames = take(source, 10)
        finally:
            web.shutdown()
            serving.join()
    shown = numbers(frames)
    assert shown == list(range(shown[0], shown[0] + 10))
    assert frames[-1].time_s > 0.85
    elapsed = frames[-1].captured_at - frames[0].captured_at
    assert abs(frames[-1].time_s - elapsed) < 0.5


# What the watchdog and the reader decide by, without waiting for it


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watched(
    feed: Callable[[StreamWatchdog, Clock], Iterator[str | None]], **options: object
) -> str | None:
    """The first fault that a watchdog of 10 s sees in what `feed` does to it."""
    clock = Clock()
    watchdog = StreamWatchdog(10.0, 25.0, clock=clock, **options)
    return next(filter(None, feed(watchdog, clock)), None)


def packets(
    watchdog: StreamWatchdog,
    clock: Clock,
    how_many: int,
    *,
    step_s: float = 0.04,
    pts_step_s: float | None = 0.04,
    pts_s: float = 0.0,
    decodes: bool = True,
) -> Iterator[str | None]:
    for _ in range(how_many):
        clock.now += step_s
        yield watchdog.packet(None if pts_step_s is None else pts_s)
        pts_s += pts_step_s or 0
        if decodes:
            watchdog.picture()


def test_watchdog_lets_good_streams_pass() -> None:
    assert watched(lambda dog, clock: packets(dog, clock, 5000)) is None
    # Without times; and the clock of a fast camera whose declared rate is wrong.
    assert watched(lambda dog, clock: packets(dog, clock, 999, pts_step_s=None)) is None
    assert (
        watched(
            lambda dog, clock: packets(
                dog, clock, 20000, step_s=1 / 120, pts_step_s=1 / 120
            )
        )
        is None
    )


def test_watchdog_and_pictures() -> None:
    def feed(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 100)
        begin = clock.now
        for fault in packets(dog, clock, 1000, pts_s=4.0, decodes=False):
            if fault is not None:
                assert 10 < clock.now - begin < 10.2
            yield fault

    assert watched(feed) == "no picture can be decoded any more"


def test_watchdog_and_long_pauses() -> None:
    """A machine that slept is no fault of the stream."""

    def feed(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 100)
        clock.now += 3600
        yield from packets(dog, clock, 100, pts_s=4.0)

    assert watched(feed) is None


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_watchdog_and_clocks(jump_s: float) -> None:
    def jumps(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500, pts_s=4000)
        yield from packets(dog, clock, 500, pts_s=4020 + jump_s)

    def stands_still(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500)
        begin = clock.now
        for fault in packets(dog, clock, 500, pts_s=20.0, pts_step_s=0.0):
            if fault is not None:
                assert 5 < clock.now - begin < 5.2
            yield fault

    assert watched(jumps) is None
    assert watched(stands_still) == "its clock stands still"


def test_watchdog_and_floods() -> None:
    def burst(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500)
        clock.now += 10  # a stall, and all of it at once
        yield from packets(dog, clock, 250, step_s=0.0, pts_s=20.0)
        yield from packets(dog, clock, 500, pts_s=30.0)

    def flood(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500)
        yield from packets(dog, clock, 2000, step_s=0.001, pts_s=20.0, pts_step_s=1e-5)

    assert watched(burst) is None
    assert watched(flood) == "it sends far more pictures than it should"
    assert watched(flood, comes_in_bursts=True) is None


def late(*phases: tuple[float, float, float, float]) -> list[float]:
    """When a reader is told to leave packets out.

    A phase is how long it lasts, and for each of 25 packets a second: how long the
    reader waits for it, how long it is busy with it, and its step in time, in s.
    """
    clock, time_s, told = Clock(), 50.0, []
    catch_up = CatchUp(clock)
    begin = clock.now
    for duration_s, wait_s, busy_s, step_s in phases:
        end = clock.now + duration_s
        while clock.now < end:
            clock.now += wait_s
            if catch_up.packet(time_s, wait_s):
                told.append(clock.now - begin)
            clock.now += busy_s
            time_s += step_s
    return told


def test_catch_up() -> None:
    good = (60, 0.03, 0.01, 0.04)
    assert late(good) == []
    # Too slow by a tenth: a second of lag takes ten.
    assert 10 < late(good, (30, 0.0, 0.044, 0.04))[0] - 60 < 14
    # The line stalls for 5 s, and the reader works that off at three times the pace.
    assert late(good, (5, 5.0, 0.0, 0.04), (2.4, 0.0, 0.0133, 0.04), good) == []
    # A clock that is set back, or runs a little slower for days.
    assert late(good, (0.04, 0.03, 0.01, -40.0), good) == []
    assert late((3600, 0.0305, 0.01, 0.04)) == []
