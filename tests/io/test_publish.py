"""Publishing over each protocol to real receivers on loopback, with failures."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import psutil
import pytest

from streamdenoise.errors import ConfigError, SinkError, SinkRefusedError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.ffmpeg.program import ffmpeg_with
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.publishing.sink import PublishSink
from streamdenoise.io.timeouts import Interruption
from tests.faults.rtsp_server import RTSPServer
from tests.faults.servers import free_port
from tests.support.command import environment
from tests.support.frames import noise_frame
from tests.support.skips import skip_or_fail
from tests.support.waiting import wait_until

FAST = EncoderConfig("x264", preset="ultrafast")
RATE = 25


pytestmark = pytest.mark.usefixtures("no_process_outlives_the_test")


def stream_info(width: int = 64, height: int = 48) -> StreamInfo:
    return StreamInfo(width, height, "yuv420p", Fraction(RATE), is_live=True)


def frame_at(index: int, info: StreamInfo) -> Frame:
    """A frame of noise at `RATE` frames a second; timestamps start at 10 s."""
    return noise_frame(
        index,
        width=info.width,
        height=info.height,
        pts=900_000 + index * 90_000 // RATE,
        time_base=info.time_base,
    )


def publish(sink: PublishSink, info: StreamInfo, frames: int) -> None:
    with sink:
        for index in range(frames):
            sink.write(frame_at(index, info))


def when_listening(open_it: Callable[[], PublishSink]) -> PublishSink:
    """Open the sink as soon as its receiver accepts connections."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return open_it()
        except SinkError as exc:
            if "refused" not in str(exc) or time.monotonic() > deadline:
                raise


@contextlib.contextmanager
def ffmpeg_receiver(protocol: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run FFmpeg as the server, which records the stream until its end."""
    program = ffmpeg_with(protocol)
    if program is None:
        skip_or_fail("ffmpeg", f"no ffmpeg with {protocol} was found")
    with subprocess.Popen(
        [program, "-hide_banner", "-loglevel", "error", "-nostdin", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def stamps_of(path: Path) -> list[Fraction]:
    """Times in seconds of all frames that can be decoded."""
    with av.open(str(path)) as container:
        return [
            frame.pts * frame.time_base
            for frame in container.decode(video=0)
            if frame.pts is not None and frame.time_base is not None
        ]


def assert_even(stamps: list[Fraction]) -> None:
    for before, after in itertools.pairwise(stamps):
        assert abs(after - before - Fraction(1, RATE)) <= Fraction(1, 1000)


def test_rtmp(tmp_path: Path) -> None:
    info, port, got = stream_info(), free_port(), tmp_path / "got.mkv"
    url = f"rtmp://127.0.0.1:{port}/live/key"
    arguments = ("-listen", "1", "-f", "flv", "-i", url, "-c", "copy", str(got))
    with ffmpeg_receiver("rtmp", *arguments) as receiver:
        publish(when_listening(lambda: PublishSink(url, info, FAST)), info, 40)
        receiver.wait(10)
    stamps = stamps_of(got)
    assert len(stamps) == 40
    assert_even(stamps)


def test_rtmp_stops_before_its_timestamps_overflow(tmp_path: Path) -> None:
    info, port = stream_info(), free_port()
    url = f"rtmp://127.0.0.1:{port}/live/key"
    with (
        ffmpeg_receiver("rtmp", "-listen", "1", "-i", url, "-f", "null", "-"),
        when_listening(lambda: PublishSink(url, info, FAST)) as sink,
    ):
        sink.write(frame_at(0, info))
        later = replace(frame_at(1, info), pts=90_000 * 86_400 * 25)
        with pytest.raises(SinkError, match="24 days"):
            sink.write(later)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("codec", ["x264", "x265"])
def test_transport_stream(protocol: str, codec: str) -> None:
    info = stream_info()
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    url = f"{protocol}://127.0.0.1:{free_port(kind)}"
    got: list[Fraction] = []
    enough = threading.Event()

    def receive() -> None:
        query = "?listen=1" if protocol == "tcp" else "?timeout=10000000"
        with (
            contextlib.suppress(av.error.FFmpegError),
            av.open(url + query) as container,
        ):
            assert container.streams.video[0].codec.name in ("h264", "hevc")
            for frame in container.decode(video=0):
                assert frame.pts is not None
                assert frame.time_base is not None
                got.append(frame.pts * frame.time_base)
                if len(got) == 30:
                    break
        enough.set()

    receiver = threading.Thread(target=receive)
    receiver.start()
    encoder = EncoderConfig(codec, preset="ultrafast")
    index = 0
    with (
        when_listening(lambda: PublishSink(url, info, encoder)) as sink,
        contextlib.suppress(SinkError),  # over TCP the receiver closes early
    ):
        # Datagrams sent before the receiver listens are lost, so the number varies.
        while not enough.wait(0.005) and index < 3000:
            sink.write(frame_at(index, info))
            index += 1
    receiver.join()
    assert len(got) == 30
    assert_even(got)


@pytest.mark.usefixtures("srt_through")
def test_srt(tmp_path: Path) -> None:
    info, got = stream_info(), tmp_path / "got.ts"
    url = f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    listener = ("-i", f"{url}?mode=listener", "-c", "copy", str(got))
    with ffmpeg_receiver("srt", *listener) as receiver:
        with PublishSink(url, info, FAST) as sink:
            for index in range(30):
                sink.write(frame_at(index, info))
                time.sleep(1 / RATE)
        receiver.wait(10)
    stamps = stamps_of(got)
    # At the end, a receiver drops the frames of its latency of 120 ms.
    assert len(stamps) >= 30 - 5
    assert_even(stamps)


def burst(info: StreamInfo) -> list[Frame]:
    """Frames of a burst after a stall, a microsecond apart, between others."""
    unit = Fraction(1, 1_000_000)
    steps = [40_000] * 10 + [1] * 100 + [40_000] * 10
    times = itertools.accumulate(steps, initial=10_000_000)
    return [
        replace(frame_at(n, info), pts=pts, time_base=unit)
        for n, pts in enumerate(times)
    ]


@pytest.mark.parametrize("protocol", ["rtmp", "tcp"])
def test_no_two_frames_are_published_with_the_same_time(protocol: str) -> None:
    info, times = stream_info(), list[int]()
    url = f"{protocol}://127.0.0.1:{free_port()}"
    query, path, options = ("?listen=1", "", {})
    if protocol == "rtmp":
        query, path, options = ("", "/live/key", {"listen": "1"})

    def receive() -> None:
        with (
            contextlib.suppress(av.error.FFmpegError),  # how RTMP ends
            av.open(url + query + path, options=options) as container,
        ):
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    times.append(packet.pts)

    receiver = threading.Thread(target=receive)
    receiver.start()
    with when_listening(lambda: PublishSink(url + path, info, FAST)) as sink:
        for frame in burst(info):
            sink.write(frame)
    receiver.join()
    assert len(times) == len(burst(info))
    assert all(b > a for a, b in itertools.pairwise(times))


def test_no_two_frames_are_published_to_rtsp_with_the_same_time() -> None:
    info = stream_info()
    with RTSPServer() as server:
        url = f"rtsp://127.0.0.1:{server.port}/a"
        with PublishSink(url, info, FAST) as sink:
            for frame in burst(info):
                sink.write(frame)
    assert len(server.times) == len(burst(info))
    # They start anywhere, and have 32 bits.
    steps = [(b - a) % 2**32 for a, b in itertools.pairwise(server.times)]
    assert all(0 < step < 2**31 for step in steps)


@pytest.mark.usefixtures("srt_through")
def test_no_two_frames_are_published_to_srt_with_the_same_time(tmp_path: Path) -> None:
    info, got = stream_info(), tmp_path / "got.ts"
    url = f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    # As bytes: FFmpeg would repair equal times.
    listener = ("-f", "data", "-i", f"{url}?mode=listener", "-c", "copy", "-map", "0")
    with ffmpeg_receiver("srt", *listener, "-f", "data", str(got)) as receiver:
        with PublishSink(url, info, FAST) as sink:
            for frame in burst(info):
                sink.write(frame)
            time.sleep(0.3)  # at the end, a receiver drops what is in its buffer
        receiver.wait(10)
    with av.open(str(got)) as container:
        times = [p.pts for p in container.demux(video=0) if p.pts is not None]
    assert len(times) == len(burst(info))
    assert all(b > a for a, b in itertools.pairwise(times))


def test_srt_secrets_are_not_shown_to_other_users(tmp_path: Path) -> None:
    if ffmpeg_with("srt", presets=True) is None:
        skip_or_fail("ffmpeg", "no ffmpeg with srt takes presets")
    info, got = stream_info(), tmp_path / "got.ts"
    url = f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}?latency=120000"
    listener = f"{url}&mode=listener&passphrase=pa55word12"
    with ffmpeg_receiver("srt", "-i", listener, "-c", "copy", str(got)) as receiver:
        secrets = "passphrase=pa55%77ord12&streamid=publish:cam:me:k3ykey"
        with PublishSink(f"{url}&{secrets}", info, FAST) as sink:
            sink.write(frame_at(0, info))
            shown = [
                [*child.cmdline(), *child.environ().values()]
                for child in psutil.Process().children(recursive=True)
                if child.pid != receiver.pid
            ]
            assert "k3ykey" not in str(shown)
            assert "pa55" not in str(shown)
            assert "latency=120000" in str(shown)
            for index in range(1, 30):
                sink.write(frame_at(index, info))
                time.sleep(1 / RATE)
        receiver.wait(10)
    assert len(stamps_of(got)) >= 25


@pytest.mark.usefixtures("srt_through")
def test_srt_secrets_need_an_ffmpeg_that_hides_them() -> None:
    """Every ffmpeg with SRT takes them out of sight, or is not used for them."""
    url = f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}?streamid=k3ykeyk3y"
    hides = ffmpeg_with("srt", presets=True) is not None
    error, why = (SinkError, "no answer") if hides else (ConfigError, "other users")
    with pytest.raises(error, match=why) as caught:
        PublishSink(url, stream_info(), FAST, timeout_s=0.5)
    assert "k3ykey" not in str(caught.value)


def test_srt_secrets_elsewhere_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if ffmpeg_with("srt") is None:
        skip_or_fail("ffmpeg", "no ffmpeg with srt was found")
    monkeypatch.setenv("STREAMDENOISE_KEY", "k3ykeyk3y")
    for address in (
        "srt://me:k3ykeyk3y@127.0.0.1:9",
        "srt://h:9?a={STREAMDENOISE_KEY}",
    ):
        with pytest.raises(ConfigError, match="passphrase= or streamid=") as caught:
            PublishSink(address, stream_info(), FAST)
        assert "k3ykey" not in str(caught.value)


@pytest.mark.usefixtures("srt_through")
def test_an_srt_server_with_a_password() -> None:
    url = f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    listener = f"{url}?mode=listener&passphrase=pa55word12"
    with (
        ffmpeg_receiver("srt", "-i", listener, "-f", "null", "-"),
        pytest.raises(SinkRefusedError, match="refused"),
    ):
        PublishSink(url, stream_info(), FAST)


@pytest.mark.usefixtures("srt_through")
@pytest.mark.parametrize(
    # An attempt to connect takes 3 s.
    ("timeout_s", "why"),
    [(1.2, "no answer in time"), (10.0, "input/output error")],
)
def test_srt_without_a_server(timeout_s: float, why: str) -> None:
    url = f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    begin = time.monotonic()
    with pytest.raises(SinkError, match=why):
        PublishSink(url, stream_info(), FAST, timeout_s=timeout_s)
    assert time.monotonic() - begin < min(timeout_s, 5) + 1.5


def test_password() -> None:
    info = stream_info()
    with RTSPServer(publishing_password="secret") as server:
        with pytest.raises(SinkRefusedError, match="password refused") as caught:
            PublishSink(f"rtsp://me:wrong@127.0.0.1:{server.port}/a", info, FAST)
        assert "wrong" not in str(caught.value)
        url = f"rtsp://me:secret@127.0.0.1:{server.port}/a"
        with PublishSink(url, info, FAST) as sink:
            sink.write(frame_at(0, info))
            for child in psutil.Process().children():
                assert "secret@" not in " ".join(child.cmdline())
                assert "secret@" not in str(child.environ())
    assert server.frames == 1


@contextlib.contextmanager
def gst_server(*arguments: str) -> Iterator[tuple[int, subprocess.Popen]]:
    """Run GStreamer's RTSP server, which needs the system's Python."""
    python = "/usr/bin/python3"
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        subprocess.run([python, "-c", check], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        skip_or_fail("gstreamer", "GStreamer's RTSP server is not installed")
    program = str(Path(__file__).parents[1] / "faults" / "gst_record_server.py")
    with subprocess.Popen(
        [python, program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


def test_gstreamer_receives_the_stream() -> None:
    info, stamps = stream_info(), []
    with gst_server("secret") as (port, server):
        with pytest.raises(SinkRefusedError, match="password refused"):
            PublishSink(f"rtsp://me:wrong@127.0.0.1:{port}/clean", info, FAST)
        url = f"rtsp://me:secret@127.0.0.1:{port}/clean"
        with PublishSink(url, info, FAST) as sink:
            for index in range(60):
                sink.write(frame_at(index, info))
            assert server.stdout is not None
            while len(stamps) < 50:  # its jitter buffer holds some back
                word, stamp = server.stdout.readline().split()
                assert word == "frame"
                stamps.append(float(stamp))
        while server.stdout.readline().strip() != "end":
            assert server.poll() is None
    # The server uses its own clock, because frames arrive faster than real time.
    assert stamps == sorted(stamps)


def test_rtsp_without_a_server() -> None:
    url = f"rtsp://me:secret@127.0.0.1:{free_port()}/a"
    with pytest.raises(SinkError, match="connection refused") as caught:
        open_sink(url, stream_info())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "codec", "message"),
    [
        ("http://127.0.0.1/a", "x264", "use rtsp://"),
        ("rtsp://127.0.0.1/a", "ffv1", "--codec x264"),
        ("rtmp://127.0.0.1/a", "svtav1", "--codec x264"),
    ],
)
def test_unsupported_schemes_and_codecs(url: str, codec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PublishSink(url, stream_info(), EncoderConfig(codec))


@contextlib.contextmanager
def no_blocking(limit_s: float) -> Iterator[None]:
    """Fail if this process is blocked for longer than `limit_s` seconds."""
    longest_s = 0.0
    ended = threading.Event()

    def tick() -> None:
        nonlocal longest_s
        before = time.monotonic()
        while not ended.wait(0.01):
            now = time.monotonic()
            longest_s = max(longest_s, now - before)
            before = now

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert longest_s < limit_s


@pytest.mark.parametrize("method", ["OPTIONS", "ANNOUNCE", "SETUP", "RECORD"])
def test_a_server_that_does_not_answer(method: str) -> None:
    with RTSPServer(stall=method) as server, no_blocking(0.8):
        begin = time.monotonic()
        with pytest.raises(SinkError, match="no answer in time"):
            PublishSink(
                f"rtsp://127.0.0.1:{server.port}/a", stream_info(), FAST, timeout_s=1.2
            )
        assert time.monotonic() - begin < 3
    assert server.methods[-1] == method


def write_on(sink: PublishSink, info: StreamInfo, times_s: list[float]) -> None:
    """Write until an error, and append the duration of each write to `times_s`."""
    frames = [frame_at(index, info) for index in range(8)]
    for index in range(20_000):
        begin = time.monotonic()
        try:
            sink.write(replace(frames[index % 8], pts=index * 90_000 // RATE))
        finally:
            times_s.append(time.monotonic() - begin)


def test_a_server_that_stops_reading() -> None:
    info = stream_info(640, 480)
    with RTSPServer(stop_reading=True) as server, no_blocking(0.8):
        url = f"rtsp://127.0.0.1:{server.port}/a"
        sink = PublishSink(url, info, FAST, timeout_s=1.2)
        times_s: list[float] = []
        with pytest.raises(SinkError, match="stopped accepting the stream"):
            write_on(sink, info, times_s)
        assert max(times_s) < 3
        begin = time.monotonic()
        sink.abort()
        assert time.monotonic() - begin < 0.5


def test_close_does_not_block() -> None:
    info = stream_info()
    with RTSPServer() as server:
        sink = PublishSink(f"rtsp://127.0.0.1:{server.port}/a", info, FAST)
        sink.write(frame_at(0, info))
        (child,) = [
            each
            for each in psutil.Process().children()
            if "publishing/process.py" in " ".join(each.cmdline())
        ]
        child.suspend()
        begin = time.monotonic()
        sink.close()
        assert time.monotonic() - begin < 1.5
        assert not child.is_running()


def test_connecting_can_be_interrupted() -> None:
    with RTSPServer(stall="ANNOUNCE") as server:
        interruption = Interruption()
        timer = threading.Timer(0.5, interruption.set)
        timer.start()
        begin = time.monotonic()
        with pytest.raises(SinkError, match="interrupted"):
            PublishSink(
                f"rtsp://127.0.0.1:{server.port}/a",
                stream_info(),
                FAST,
                interruption=interruption,
            )
        assert time.monotonic() - begin < 2
        timer.join()


def test_writing_can_be_interrupted() -> None:
    info = stream_info(640, 480)
    with RTSPServer(stop_reading=True) as server:
        url = f"rtsp://127.0.0.1:{server.port}/a"
        sink = PublishSink(url, info, FAST, timeout_s=30)
        timer = threading.Timer(2.5, sink.interrupt)
        timer.start()
        with pytest.raises(SinkError, match="interrupted"):
            write_on(sink, info, [])
        begin = time.monotonic()
        sink.close()
        assert time.monotonic() - begin < 0.5
        timer.join()


@pytest.mark.skipif(
    not hasattr(psutil.Process, "num_fds"), reason="needs file descriptors"
)
def test_repeated_opening_leaks_no_descriptors() -> None:
    info = stream_info()
    nowhere = f"rtsp://127.0.0.1:{free_port()}/a"
    with RTSPServer() as server:
        url = f"rtsp://127.0.0.1:{server.port}/a"
        before = psutil.Process().num_fds()
        for finish in (PublishSink.close, PublishSink.abort) * 2:
            sink = PublishSink(url, info, FAST)
            sink.write(frame_at(0, info))
            finish(sink)
            with pytest.raises(SinkError):
                PublishSink(nowhere, info, FAST)
        assert psutil.Process().num_fds() == before


PARENT = """
import sys
from fractions import Fraction
import psutil
from streamdenoise.io.options import EncoderConfig
from streamdenoise.frame import StreamInfo
from streamdenoise.io.publishing.sink import PublishSink
info = StreamInfo(64, 48, "yuv420p", Fraction(25))
print("begin", flush=True)
sink = PublishSink(sys.argv[1], info, EncoderConfig(preset="ultrafast"), timeout_s=1)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("stall", ["", "ANNOUNCE"])
def test_the_child_ends_with_its_parent(stall: str) -> None:
    with RTSPServer(stall=stall) as server:
        url = f"rtsp://127.0.0.1:{server.port}/a"
        with subprocess.Popen(
            [sys.executable, "-c", PARENT, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as parent:
            assert parent.stdout is not None
            wanted = "begin" if stall else "ready"
            while parent.stdout.readline().strip() != wanted:
                assert parent.poll() is None
            process = psutil.Process(parent.pid)
            wait_until(lambda: bool(process.children()), 5)
            children = process.children()
            os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: all(map(has_ended, children)), 8)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended, even if its exit status was not collected yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
