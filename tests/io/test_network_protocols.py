"""MPEG-TS, RTMP, SRT, RTP, HLS and multipart JPEG from real servers."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import psutil
import pytest

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.sources.network import NetworkSource
from tests.faults.servers import (
    FfmpegServer,
    free_port,
    wait_for_port,
    write_numbered_clip,
)
from tests.support.streams import (
    SLACK_S,
    assert_complete,
    readable_numbers,
    seconds_until_lost,
    take,
)
from tests.support.waiting import wait_until
from tests.support.web import WebServer, camera


@pytest.fixture(scope="module")
def numbered_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s at 25 frames a second, with two key frames a second."""
    path = tmp_path_factory.mktemp("clip") / "numbered.mp4"
    write_numbered_clip(path, (320, 180), 25, 500, key_interval=12)
    return path


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
        assert_complete(take(source, 25), 3600)
        sender.kill()
        assert seconds_until_lost(source, "no answer in time") < 3 + SLACK_S


def test_mpegts_over_tcp(numbered_clip: Path) -> None:
    with (
        FfmpegServer(
            numbered_clip, "-f", "mpegts", "tcp://127.0.0.1:PORT?listen=1"
        ) as sender,
        retried(f"tcp://127.0.0.1:{sender.port}") as source,
    ):
        assert source.info.is_live
        assert_complete(take(source, 25), 3600)
        sender.kill()
        assert seconds_until_lost(source, "the other side ended it|reset") < SLACK_S


def test_rtmp(numbered_clip: Path) -> None:
    with (
        FfmpegServer(
            numbered_clip,
            *("-listen", "1", "-f", "flv", "rtmp://127.0.0.1:PORT/live/x"),
        ) as sender,
        retried(f"rtmp://127.0.0.1:{sender.port}/live/x") as source,
    ):
        assert source.info.is_live
        assert_complete(take(source, 25), 40)
        sender.kill()
        seconds_until_lost(source, "the other side ended it|reset|broken|input/output")


@pytest.mark.usefixtures("srt_through")
def test_srt(numbered_clip: Path) -> None:
    with (
        FfmpegServer(
            numbered_clip, "-f", "mpegts", "srt://127.0.0.1:PORT?mode=listener"
        ) as sender,
        retried(f"srt://127.0.0.1:{sender.port}", timeout_s=1.5) as source,
    ):
        assert source.info.is_live
        assert_complete(take(source, 25), 3600)
        sender.freeze()
        seconds_until_lost(source, "nothing came|the other side ended it")
        sender.resume()
    with pytest.raises(
        SourceOpenError, match=r"srt://127\.0\.0\.1:\d+ cannot be opened"
    ):
        NetworkSource(f"srt://127.0.0.1:{free_port()}", ReadOptions(timeout_s=0.5))


@pytest.mark.usefixtures("srt_through")
def test_srt_secrets_are_not_shown_to_other_users(numbered_clip: Path) -> None:
    sent = "srt://127.0.0.1:PORT?mode=listener&passphrase=pa55'word12"
    with (
        FfmpegServer(numbered_clip, "-f", "mpegts", sent) as sender,
        retried(
            f"srt://127.0.0.1:{sender.port}?passphrase=pa55%27word12&streamid=k3ykey"
        ) as source,
    ):
        assert_complete(take(source, 5), 3600)
        shown = [
            child.cmdline()
            for child in psutil.Process().children()
            if child.pid != sender.pid
        ]
        assert "concat" in str(shown)
        assert "k3ykey" not in str(shown)
        assert "pa55" not in str(shown)


def retried(url: str, timeout_s: float = 5) -> NetworkSource:
    """Open a server that takes one connection: probing its port would use it up."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return NetworkSource(url, ReadOptions(timeout_s=timeout_s))
        except SourceOpenError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_rtp_from_an_sdp_file(numbered_clip: Path, tmp_path: Path) -> None:
    sdp = tmp_path / "camera.sdp"
    with FfmpegServer(
        numbered_clip,
        *("-an", "-sdp_file", str(sdp), "-f", "rtp", "rtp://127.0.0.1:PORT"),
    ):
        wait_until(lambda: sdp.exists() and "fmtp" in sdp.read_text(), 10)
        with NetworkSource(str(sdp), ReadOptions(timeout_s=5)) as source:
            assert source.info.is_live
            assert_complete(take(source, 10), 3600)


@pytest.fixture
def hls(numbered_clip: Path, tmp_path: Path) -> Iterator[tuple[FfmpegServer, str]]:
    """The encoder of a live playlist of four half-second segments, and its address."""
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
            wait_until(
                lambda: playlist.exists() and "live2.ts" in playlist.read_text(), 15
            )
            yield encoder, f"http://127.0.0.1:{port}/live.m3u8"
    finally:
        web.kill()
        web.wait()


def test_live_playlist(hls: tuple[FfmpegServer, str]) -> None:
    encoder, url = hls
    with NetworkSource(url, ReadOptions(timeout_s=1.5)) as source:
        assert source.info.is_live
        frames = take(source, 30)
        assert_complete(frames, 3600)
        # Segments arrive as a whole; their frames are paced like a camera's.
        elapsed = frames[-1].captured_at - frames[0].captured_at
        assert 29 / 25 - 0.5 < elapsed < 29 / 25 + SLACK_S
        encoder.kill()
        seconds_until_lost(source, "ended it|no answer in time")


def test_finished_playlist_is_a_recording(numbered_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.m3u8"
    with av.open(str(numbered_clip)) as clip, av.open(str(path), "w") as playlist:
        copied = playlist.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.pts is not None and packet.pts * packet.time_base < 4:
                packet.stream = copied
                playlist.mux(packet)
    begin = time.monotonic()
    with open_source(f"file://{path}", ReadOptions(timeout_s=3)) as source:
        assert not source.info.is_live
        assert len(list(source)) == 100
    assert time.monotonic() - begin < 3


def test_mjpeg_over_http() -> None:
    """Its frames have no timestamps: the time of arrival counts."""
    with (
        WebServer(camera(wait=lambda _: 0.1)) as web,
        NetworkSource(web.url("/video"), ReadOptions(timeout_s=5)) as source,
    ):
        assert source.info.is_live
        assert source.info.frame_rate is None
        frames = take(source, 10)
    shown = readable_numbers(frames)
    assert shown == list(range(shown[0], shown[0] + 10))
    assert frames[-1].time_s > 0.85
    elapsed = frames[-1].captured_at - frames[0].captured_at
    assert abs(frames[-1].time_s - elapsed) < 0.5
