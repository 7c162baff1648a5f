"""A webcam that is unplugged and plugged in again, simulated by a virtual screen."""

import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Self

import psutil
import pytest

from streamdenoise.errors import SourceLostError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.options import ReadOptions, Reconnect
from streamdenoise.io.sources.camera import CaptureSource
from streamdenoise.io.sources.reconnecting import ReconnectingSource
from streamdenoise.pipeline.live_clock import LiveClock
from tests.support.skips import skip_or_fail

WAIT_S = 20
SIZE = (320, 240)


class Webcam:
    """A screen of an X server, which FFmpeg captures as it captures a webcam."""

    def __init__(self) -> None:
        if shutil.which("Xvfb") is None:
            skip_or_fail("display", "Xvfb not found: apt-get install xvfb")
        self.device = f":{1000 + os.getpid() % 10_000}"
        self._server: subprocess.Popen | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.unplug()

    def plug_in(self, size: tuple[int, int] = SIZE) -> None:
        reading, writing = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", self.device, "-displayfd", str(writing), "-noreset",
             "-screen", "0", f"{size[0]}x{size[1]}x24", "-nolisten", "tcp"],
            pass_fds=(writing,), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading) as answer:
            assert answer.readline().strip() == self.device[1:], "Xvfb did not start"

    def unplug(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def source(self, reconnect: Reconnect) -> ReconnectingSource:
        def open_session(known: StreamInfo | None) -> CaptureSource:
            return CaptureSource(
                self.device,
                "x11grab",
                "camera:0",
                ReadOptions(
                    pix_fmt=known and known.pix_fmt,
                    size=known and (known.width, known.height),
                    timeout_s=5,
                ),
            )

        backoff = Backoff(0.05, 0.1)
        return ReconnectingSource(open_session, "camera:0", reconnect, backoff=backoff)


@pytest.fixture
def webcam() -> Iterator[Webcam]:
    with Webcam() as webcam:
        yield webcam


def take(frames: Iterator[Frame], number: int) -> list[Frame]:
    return list(itertools.islice(frames, number))


def test_it_reconnects_whenever_it_is_plugged_in(webcam: Webcam):
    webcam.plug_in()
    us = psutil.Process()
    with webcam.source(Reconnect()) as source:
        frames = iter(source)
        taken = take(frames, 1)
        held = us.num_fds()
        for number, size in enumerate((SIZE, (640, 480), SIZE), 1):
            webcam.unplug()
            plugging = threading.Timer(0.3, webcam.plug_in, [size])
            plugging.start()
            while source.reconnects < number:  # FFmpeg still has some frames
                taken += take(frames, 1)
            plugging.join()
            taken += take(frames, 2)
        assert us.num_fds() <= held
        assert source.reconnects == 3
        assert source.error == ""
    assert [frame.index for frame in taken] == list(range(len(taken)))
    assert {(frame.width, frame.height) for frame in taken} == {SIZE}
    clock = LiveClock(source.info.time_base)
    timeline = [clock.stamp(frame) for frame in taken]
    assert all(a.pts < b.pts for a, b in itertools.pairwise(timeline))
    elapsed_s = taken[-1].captured_at - taken[0].captured_at
    assert timeline[-1].time_s == pytest.approx(elapsed_s, abs=0.5)


def test_the_first_connection_waits_if_asked(webcam: Webcam):
    plugging = threading.Timer(0.5, webcam.plug_in)
    plugging.start()
    with webcam.source(Reconnect(first=True)) as source:
        assert len(take(iter(source), 3)) == 3
    plugging.join()


def test_without_attempts_it_is_lost(webcam: Webcam):
    webcam.plug_in()
    with webcam.source(Reconnect(attempts=0)) as source:
        frames = iter(source)
        assert len(take(frames, 3)) == 3
        webcam.unplug()
        with pytest.raises(SourceLostError, match="camera:0: the stream was lost"):
            take(frames, 1000)
