"""The command `live` as a service manager runs it, against real servers."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import psutil
import pytest

from streamdenoise.io.open import open_source
from tests.faults.frame_code import frame_number
from tests.faults.proxy import FaultProxy
from tests.faults.servers import FfmpegServer, GstServer, free_port, write_numbered_clip
from tests.support.command import command, environment
from tests.support.waiting import wait_until

RATE = 15
STOP_S = 2.0
PASSWORD = "Gr0sses&Geheimnis"

_SIZE = (320, 180)
_WAIT_S = 40.0


class Job:
    """`streamdenoise live` in a separate process, with its log and figures."""

    def __init__(self, folder: Path, source: str, *options: str) -> None:
        self._status = f"127.0.0.1:{free_port()}"
        self._log = folder / "log.txt"
        words = command(
            *("live", "--no-window", source, "--threads", "1"),
            *("--status", self._status, *options),
        )
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                words, stderr=log, cwd=folder, env=environment()
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def page(self, name: str) -> str:
        url = f"http://{self._status}/{name}"
        try:
            with urllib.request.urlopen(url, timeout=5) as page:
                return page.read().decode()
        except urllib.error.HTTPError as unhealthy:
            with unhealthy:
                return unhealthy.read().decode()

    @property
    def stats(self) -> dict:
        return json.loads(self.page("status"))["stats"]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; fail if the job ends or takes too long."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            assert self.process.poll() is None, f"it ended by itself:\n{self.log}"
            try:
                if condition():
                    return
            except OSError:
                pass  # not listening yet
            assert time.monotonic() < deadline, f"nothing happens:\n{self.log}"
            time.sleep(0.05)

    def has_frames(self, count: int) -> bool:
        outputs = self.stats["outputs"]
        return bool(outputs) and all(each["frames"] >= count for each in outputs)

    def stop(self) -> None:
        """Stop the job as a service manager does, in time and with the right code."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(_WAIT_S)
        took_s = time.monotonic() - began
        assert code == 128 + signal.SIGTERM, self.log
        assert took_s < STOP_S, f"{took_s:.2f} s:\n{self.log}"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(Job(tmp_path, *options))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """A folder for what a viewer receives."""
    (tmp_path / "received").mkdir()
    return tmp_path / "received"


def times_and_numbers(path: Path) -> list[tuple[float, int | None]]:
    """The frames of a recording, which must be playable to its end."""
    with open_source(str(path)) as source:
        frames = [(frame.time_s, frame_number(frame)) for frame in source]
        assert not source.skipped
    assert all(a < b for (a, _), (b, _) in itertools.pairwise(frames))
    return frames


def has_asked(port: int, pid: int) -> Callable[[], bool]:
    """Whether a process or one of its children has a connection to the port."""

    def asked() -> bool:
        process = psutil.Process(pid)
        return any(
            link.raddr and link.raddr.port == port
            for one in (process, *process.children(recursive=True))
            for link in one.net_connections("tcp")
        )

    return asked


def test_it_stops_while_the_first_connection_hangs(
    start: Callable[..., Job], silent_port: int
):
    job = start(f"rtsp://127.0.0.1:{silent_port}/live", "-o", "never.mkv")
    job.wait(has_asked(silent_port, job.process.pid))
    job.stop()
    assert "stopped before it was opened" in job.log
    assert "Traceback" not in job.log


def test_it_stops_while_an_output_is_being_opened(
    start: Callable[..., Job], silent_port: int
):
    job = start("testsrc:64x48@25", "-o", f"rtsp://127.0.0.1:{silent_port}/live")
    job.wait(has_asked(silent_port, job.process.pid))
    job.stop()
    assert "Traceback" not in job.log


def test_it_stops_while_a_camera_reconnects_and_a_viewer_hangs(
    start: Callable[..., Job], tmp_path: Path, received: Path
):
    with (
        GstServer(size=_SIZE, rate=RATE, key_interval=RATE) as camera,
        GstServer(record_to=received) as viewer,
    ):
        clips = tmp_path / "clips"
        job = start(
            *(camera.url(), "--timeout", "1"),
            *("-o", "whole.mkv", "-o", "whole.mp4", "-o", viewer.url("record")),
            *("-o", "clips/%Y-%m-%d_%H-%M-%S.mkv", "--segment", "1h"),
        )
        job.wait(lambda: job.has_frames(RATE))
        viewer.freeze()
        camera.freeze()
        # Held frames go to a viewer that no longer takes them.
        job.wait(lambda: "connecting again" in job.log)
        job.stop()
    recorded = [tmp_path / "whole.mkv", tmp_path / "whole.mp4", *clips.glob("*.mkv")]
    assert len(recorded) == 3
    for path in recorded:
        assert len(times_and_numbers(path)) >= RATE


def test_a_viewer_that_hangs_delays_nothing_else(
    start: Callable[..., Job], tmp_path: Path, received: Path
):
    with GstServer(record_to=received) as viewer:
        job = start(
            *("testsrc:320x180@15", "-o", "whole.mkv"),
            *("-o", viewer.url("record")),
        )
        job.wait(lambda: job.has_frames(RATE))
        viewer.freeze()
        written = job.stats["outputs"][0]["frames"]
        job.wait(lambda: job.stats["outputs"][0]["frames"] > written + 2 * RATE)
        job.stop()
    assert len(times_and_numbers(tmp_path / "whole.mkv")) > written + 2 * RATE


def test_a_wrong_password_is_one_sentence_and_one_attempt(start: Callable[..., Job]):
    with GstServer(auth="digest", password=PASSWORD) as camera:
        url = camera.url(password="something else")
        job = start(url, "-o", "null:", "--reconnect", "forever")
        assert job.process.wait(_WAIT_S) == 77
        assert camera.connections == 1
    assert len(job.log.splitlines()) == 1, job.log
    assert job.log.startswith("error: rtsp://")
    assert "correct the user name and the password" in job.log
    assert "something" not in job.log


def test_a_stream_described_by_a_file_reconnects(
    start: Callable[..., Job], tmp_path: Path
):
    write_numbered_clip(tmp_path / "clip.mkv", _SIZE, RATE, 2 * RATE, RATE)
    description = tmp_path / "camera.sdp"
    output = ("-an", "-sdp_file", str(description), "-f", "rtp", "rtp://127.0.0.1:PORT")
    with FfmpegServer(tmp_path / "clip.mkv", *output) as camera:
        wait_until(lambda: description.exists() and "fmtp" in description.read_text())
        job = start(str(description), "-o", "null:", "--timeout", "1.5")
        job.wait(lambda: job.has_frames(RATE))
        camera.kill()
        job.wait(lambda: "connecting again" in job.log)
        camera.restart()
        job.wait(lambda: job.stats["reconnects"] > 0)
        job.stop()


def test_reconnect_never_makes_no_second_attempt(start: Callable[..., Job]):
    job = start(f"rtsp://127.0.0.1:{free_port()}/live", "-o", "null:", "--reconnect=0")
    assert job.process.wait(_WAIT_S) == 1
    assert "connection refused" in job.log


def test_it_waits_for_a_camera_holds_its_last_frame_and_logs_json(
    start: Callable[..., Job], tmp_path: Path
):
    camera = GstServer(
        auth="basic", password=PASSWORD, size=_SIZE, rate=RATE, key_interval=RATE
    )
    with camera, FaultProxy(camera.port) as line:
        line.set(refuse=True)
        job = start(
            *(camera.url(port=line.port), "--timeout", "1.5", "-o", "whole.mkv"),
            *("--reconnect", "forever", "--on-loss", "hold", "--log-format", "json"),
        )
        job.wait(lambda: "attempt 2" in job.log)
        pages = [job.page("status"), job.page("healthz")]
        line.clear()
        job.wait(lambda: job.has_frames(RATE))
        command = Path(f"/proc/{job.process.pid}/cmdline").read_bytes()
        line.set(stall=True)
        job.wait(lambda: bool(job.stats["source_error"]))
        held = job.stats["frames_out"]
        pages += [job.page(name) for name in ("status", "healthz", "metrics")]
        job.wait(lambda: job.stats["frames_out"] >= held + 5)
        line.clear()
        line.cut()
        job.wait(lambda: job.stats["reconnects"] > 0)
        back = job.stats["frames_in"]
        job.wait(lambda: job.stats["frames_in"] > back + RATE)
        job.stop()

    for each in job.log.splitlines():
        assert set(json.loads(each)) >= {"time", "level", "message"}
    recorded = (tmp_path / "whole.mkv").read_bytes()
    words = [PASSWORD, "Gr0sses%26Geheimnis", "Geheimnis"]
    for text in (command, recorded, job.log.encode(), *map(str.encode, pages)):
        assert not any(word.encode() in text for word in words)
    assert b"127.0.0.1" in command

    frames = times_and_numbers(tmp_path / "whole.mkv")
    known = [number for _, number in frames if number is not None]
    assert known[-1] - known[0] > len(set(known))  # some were lost, and held ones shown
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(frames)]
    assert max(gaps) < 1.5
    assert any(is_marked(tmp_path / "whole.mkv"))


def is_marked(path: Path) -> Iterator[bool]:
    """Whether each frame has white words on a dark bar in its middle."""
    with open_source(str(path)) as source:
        for frame in source:
            luma = frame.planes[0]
            top, left = luma.shape[0] // 2, luma.shape[1] // 2
            middle = luma[top - 6 : top + 6, left - 40 : left + 40]
            yield bool(np.ptp(middle) > 120)


def test_errors_are_json_too(start: Callable[..., Job]):
    job = start("rtsp://127.0.0.1:1/live", "-o", "null:", "--log-format", "json")
    assert job.process.wait(_WAIT_S) == 1
    lines = [json.loads(line) for line in job.log.splitlines()]
    assert lines[-1]["level"] == "ERROR"
    assert "connection refused" in lines[-1]["message"]
