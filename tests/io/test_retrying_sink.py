"""Outputs that fail mid-stream and reconnect."""

import logging
import random
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError, SinkRefusedError
from streamdenoise.frame import Frame
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import Reconnect
from streamdenoise.io.protocols import Sink
from streamdenoise.io.sinks.retrying import RetryingSink
from streamdenoise.io.timeouts import Interruption, TimedProcess
from tests.faults.rtsp_server import RTSPServer
from tests.io.test_publish import FAST, frame_at, stream_info
from tests.support.clock import Clock

INFO = stream_info()
FRAME = frame_at(0, INFO)


pytestmark = pytest.mark.usefixtures("no_process_outlives_the_test")


class Target:
    """A target that fails on demand, and counts what it receives."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fails: SinkError | None = None
        self.opened_at: list[float] = []
        self.frames = 0
        self.closed = 0
        self.aborted = 0

    def open(self, interruption: Interruption) -> Sink:
        self.opened_at.append(self.clock())
        if self.fails is not None:
            raise self.fails
        return TargetSink(self)


class TargetSink(Completing):
    notes = ("target: a note",)

    def __init__(self, target: Target) -> None:
        self._target = target

    def write(self, frame: Frame) -> None:
        if self._target.fails is not None:
            raise self._target.fails
        self._target.frames += 1

    def close(self) -> None:
        self._target.closed += 1

    def abort(self) -> None:
        self._target.aborted += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def target(clock: Clock) -> Target:
    return Target(clock)


def retrying(target: Target, reconnect: Reconnect | None = None) -> RetryingSink:
    return RetryingSink(
        target.open,
        "target",
        reconnect=reconnect or Reconnect(),
        backoff=Backoff(1.0, 8.0, rng=random.Random(1)),
        clock=target.clock,
    )


def publishing(url: str, backoff: Backoff) -> RetryingSink:
    return RetryingSink(
        lambda interruption: open_sink(
            url, INFO, encoder=FAST, interruption=interruption
        ),
        url,
        reconnect=Reconnect(),
        backoff=backoff,
    )


def test_a_sink_recovers(
    target: Target, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sink = retrying(target)
    assert isinstance(sink, Sink)
    sink.write(FRAME)
    target.fails = SinkError("target is full; make room")
    for _ in range(100):  # 10 s
        sink.write(FRAME)
        clock.now += 0.1
    assert sink.error == "target is full; make room"
    assert (target.aborted, sink.dropped) == (1, 100)
    target.fails = None
    while sink.error:
        clock.now += 0.1
        sink.write(FRAME)
    assert sink.reconnects == 1
    assert target.frames == 2
    dropped = sink.dropped
    sink.close()
    sink.close()
    assert target.closed == 1
    assert sink.notes == ("target: a note",)
    lost, back = messages(caplog)
    assert lost.startswith("target is full; make room; next attempt in ")
    assert back.startswith("target is back after 1")
    assert back.endswith(f"{dropped} frames were not written")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_long_outage_is_logged_every_10_minutes(
    target: Target, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = retrying(target)
    target.fails = SinkError("away")
    for _ in range(2 * 3600):
        sink.write(FRAME)
        clock.now += 1
    assert 12 <= len(messages(caplog)) <= 13
    # Without the first one, which worked, and the last one.
    attempts = len(target.opened_at) - 2
    assert messages(caplog)[-1].startswith("away; next attempt in ")
    failed = int(messages(caplog)[-1].split()[-3].strip("("))
    assert attempts - 600 < failed <= attempts
    target.fails = None
    while sink.error:
        clock.now += 1
        sink.write(FRAME)
    assert messages(caplog)[-1].startswith("target is back after 72")


def test_short_recoveries_do_not_flood_the_log(
    target: Target, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = retrying(target)
    for _ in range(3600):
        # As on a full disk: the file can be opened and takes one frame.
        target.fails = None if sink.error else SinkError("full")
        sink.write(FRAME)
        clock.now += 1
    assert sink.reconnects > 400
    assert len(messages(caplog)) <= 2 * 6 + 2
    target.fails = None
    for _ in range(20):
        sink.write(FRAME)
        clock.now += 1
    assert "target is back after" in messages(caplog)[-1]


def test_the_wait_between_attempts_grows(target: Target, clock: Clock) -> None:
    sink = retrying(target)
    target.fails = SinkError("away")
    for _ in range(6000):  # a minute
        sink.write(FRAME)
        clock.now += 0.01
    gaps = [b - a for a, b in zip(target.opened_at, target.opened_at[1:], strict=False)]
    assert 7 <= len(gaps) <= 16
    for gap, whole in zip(gaps, [1, 2, 4, *[8] * len(gaps)], strict=False):
        assert whole / 2 - 0.01 <= gap <= whole + 0.02


def test_immediate_failures_count_as_attempts(target: Target, clock: Clock) -> None:
    sink = retrying(target, Reconnect(attempts=3))
    away = SinkError("away")
    error = None
    for _ in range(1000):
        target.fails = None if sink.error else away
        try:
            sink.write(FRAME)
        except SinkError as exc:
            error = exc
            break
        clock.now += 0.1
    assert error is away
    assert sink.reconnects == 3


def test_attempts_are_counted_from_zero_after_a_recovery(
    target: Target, clock: Clock
) -> None:
    sink = retrying(target, Reconnect(attempts=1))
    for _ in range(5):
        target.fails = SinkError("away")
        sink.write(FRAME)
        target.fails = None
        clock.now += 2
        for _ in range(10):
            sink.write(FRAME)
            clock.now += 1
    assert sink.reconnects == 5
    assert sink.dropped == 5


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_the_last_attempt_raises(target: Target, clock: Clock, attempts: int) -> None:
    sink = retrying(target, Reconnect(attempts=attempts))
    target.fails = SinkError("away")

    def write_for_long() -> None:
        for _ in range(1000):
            sink.write(FRAME)
            clock.now += 0.1

    with pytest.raises(SinkError, match="away"):
        write_for_long()
    assert len(target.opened_at) == 1 + attempts
    with pytest.raises(SinkError, match="away"):
        sink.write(FRAME)
    assert len(target.opened_at) == 1 + attempts
    assert sink.error == "away"
    sink.close()


def test_a_password_that_was_right_is_tried_again_slowly(
    target: Target, clock: Clock
) -> None:
    sink = retrying(target)
    target.fails = SinkError("away")
    sink.write(FRAME)
    target.fails = SinkRefusedError("password refused")
    clock.now += 2
    sink.write(FRAME)
    assert len(target.opened_at) == 2
    for _ in range(29):  # no attempt in more than two minutes
        clock.now += 5
        sink.write(FRAME)
    assert len(target.opened_at) == 2
    assert sink.error == "password refused"
    target.fails = None
    clock.now += 300
    sink.write(FRAME)
    assert (target.frames, sink.error) == (1, "")


def test_the_first_connection(target: Target, clock: Clock) -> None:
    target.fails = SinkError("away")
    with pytest.raises(SinkError, match="away"):
        retrying(target)
    sink = retrying(target, Reconnect(first=True))
    assert len(target.opened_at) == 1  # not before the first frame
    sink.write(FRAME)
    assert (target.frames, sink.dropped, sink.error) == (0, 1, "away")
    target.fails = None
    clock.now += 1
    sink.write(FRAME)
    assert (target.frames, sink.dropped, sink.error) == (1, 1, "")
    target.fails = SinkRefusedError("password refused")
    sink = retrying(target, Reconnect(first=True))
    with pytest.raises(SinkRefusedError):
        sink.write(FRAME)
    target.fails = None
    sink = retrying(target, Reconnect(first=True))
    sink.write(FRAME)
    assert (sink.reconnects, sink.error) == (0, "")


def test_a_frame_of_another_size_is_not_a_failure_of_the_output(tmp_path: Path) -> None:
    path = str(tmp_path / "a.mkv")
    sink = RetryingSink(lambda _: open_sink(path, INFO), path, reconnect=Reconnect())
    with pytest.raises(ValueError, match="frame must be"):
        sink.write(frame_at(0, stream_info(32, 32)))
    sink.abort()


def test_a_server_that_restarts() -> None:
    server = RTSPServer()
    with server:
        url = f"rtsp://127.0.0.1:{server.port}/a"
        sink = publishing(url, Backoff(0.1, 0.4))
        written = 0
        for _ in range(25):
            sink.write(frame_at(written, INFO))
            written += 1
        server.kill()
        deadline = time.monotonic() + 10
        while not sink.error:
            sink.write(frame_at(written, INFO))
            written += 1
            assert time.monotonic() < deadline
    with RTSPServer(port=server.port) as again:
        while sink.error:
            sink.write(frame_at(written, INFO))
            written += 1
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for _ in range(24):
            sink.write(frame_at(written, INFO))
            written += 1
        sink.close()
    assert sink.reconnects == 1
    assert again.frames == 25
    assert again.methods[-1] == "TEARDOWN"


def test_closing_while_connecting() -> None:
    """Like a pipeline: interrupt the writing thread, then close the sink."""
    with RTSPServer() as server:
        url = f"rtsp://127.0.0.1:{server.port}/a"
        sink = publishing(url, Backoff(0.05, 0.05))
        server.kill()
        while not sink.error:
            sink.write(FRAME)
    with RTSPServer(port=server.port, stall="ANNOUNCE"):
        time.sleep(0.1)  # the backoff
        writer = threading.Thread(target=sink.write, args=(FRAME,))
        writer.start()
        while not psutil.Process().children()[1:]:  # the server's is the first
            assert writer.is_alive()
        begin = time.monotonic()
        sink.interrupt()
        writer.join()
        sink.close()
        assert time.monotonic() - begin < 1.0
    assert sink.reconnects == 0


def test_reading_the_messages_of_a_child_that_ends() -> None:
    program = (
        "import sys; sys.stdin.read()\n"
        "for _ in range(900): sys.stderr.write('error: ' + 40 * 'y' + '\\n')"
    )
    command = [sys.executable, "-S", "-c", program]
    child = TimedProcess(command, Interruption(), answers="stderr")
    lines: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while line := child.read_line():
            lines.append(line)
            if len(lines) == 300:
                ended.wait(10)  # slower than the child
        lines.append("end")

    reader = threading.Thread(target=read)
    reader.start()
    child.end(5.0)
    ended.set()
    reader.join()
    assert lines[-1] == "end"


def test_backoff() -> None:
    backoff = Backoff(0.5, 4.0, rng=random.Random(0))
    for _ in range(2):
        for whole in (0.5, 1, 2, 4, 4, 4):
            assert whole / 2 <= backoff.next_s() <= whole
        backoff.reset()
    assert len({Backoff().next_s() for _ in range(20)}) > 10
    with pytest.raises(ValueError, match="first_s"):
        Backoff(0.0)


def test_interruption() -> None:
    interruption = Interruption()
    done: list[str] = []
    keep, forgotten = (lambda: done.append("kept")), (lambda: done.append("no"))
    interruption.add(keep)
    interruption.add(forgotten)
    interruption.remove(forgotten)
    assert not interruption.is_set
    interruption.set()
    interruption.set()
    assert interruption.is_set
    interruption.add(lambda: done.append("late"))
    interruption.remove(keep)
    assert done == ["kept", "late"]
