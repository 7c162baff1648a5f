"""Publishing to an RTSP server, and reading from one, on loopback."""

import itertools

import pytest

from streamdenoise.errors import SourceOpenError
from streamdenoise.frame import Frame
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import EncoderConfig, ReadOptions
from tests.faults.rtsp_server import RTSPServer
from tests.support.streams import seconds_until_lost

FAST = EncoderConfig("x264", preset="ultrafast")
FRAMES = 40


def publish(server: RTSPServer) -> None:
    url = f"rtsp://127.0.0.1:{server.port}/clean"
    with (
        open_source("testsrc:64x48@25", ReadOptions(duration_s=FRAMES / 25)) as source,
        open_sink(url, source.info, encoder=FAST) as sink,
    ):
        for frame in source:
            sink.write(frame)


def test_publish() -> None:
    with RTSPServer() as server:
        publish(server)
    wanted = ["OPTIONS", "ANNOUNCE", "SETUP", "RECORD", "TEARDOWN"]
    assert list(dict.fromkeys(server.methods)) == wanted
    assert "H264/90000" in server.description
    assert server.frames == FRAMES


def test_read_until_the_server_ends_it() -> None:
    with RTSPServer(password="secret") as server:
        publish(server)
        url = f"rtsp://me:secret@127.0.0.1:{server.port}/clean"
        got: list[Frame] = []
        with open_source(url, ReadOptions(timeout_s=5)) as source:
            assert source.info.is_live
            assert (source.info.width, source.info.height) == (64, 48)
            seconds_until_lost(source, r"^(?!.*secret)", got)
    assert len(got) >= FRAMES - 2
    assert got[0].pts == 0
    steps = {b.pts - a.pts for a, b in itertools.pairwise(got)}
    assert steps <= {3600, 3599, 3601}


def test_wrong_password() -> None:
    with RTSPServer(password="secret") as server:
        publish(server)
        url = f"rtsp://me:wrong@127.0.0.1:{server.port}/clean"
        with pytest.raises(SourceOpenError, match="password refused") as caught:
            open_source(url, ReadOptions(timeout_s=5))
    assert "wrong" not in str(caught.value)


def test_a_server_that_freezes() -> None:
    with RTSPServer(freeze=True) as server:
        publish(server)
        got: list[Frame] = []
        url = f"rtsp://127.0.0.1:{server.port}/clean"
        with open_source(url, ReadOptions(timeout_s=1.5)) as source:
            seconds_until_lost(source, "no answer in time", got)
        assert len(got) >= FRAMES - 2
