"""Sessions of a simulated camera that are lost and come back."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from streamdenoise.contexts import Closing
from streamdenoise.errors import (
    SourceError,
    SourceLostError,
    SourceOpenError,
    SourceRefusedError,
)
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.io.backoff import Backoff, after_refusals
from streamdenoise.io.options import Reconnect
from streamdenoise.io.sources.reconnecting import ReconnectingSource
from streamdenoise.pipeline.live_clock import LiveClock

WAIT_S = 10
LUMA = np.zeros((48, 64), np.uint8)
AT_ONCE = Backoff(1e-4, 1e-3)
FOREVER = Reconnect()

Step = int | SourceError | Callable[[], None]


class Session(Closing):
    """Executes `steps`: a number yields a frame with that pts, an error is raised.

    Frames are captured when they are yielded, or by their pts from `first_captured_at`.
    """

    def __init__(
        self,
        *steps: Step,
        time_base: Fraction = Fraction(1, 1000),
        first_captured_at: float | None = None,
    ) -> None:
        self.info = StreamInfo(64, 48, "gray", time_base=time_base, is_live=True)
        self.skipped, self.left_out = 3, 1
        self.closed = 0
        self._steps = steps
        self._first_captured_at = first_captured_at

    def _captured_at(self, pts: int) -> float:
        if self._first_captured_at is None:
            return time.monotonic()
        return self._first_captured_at + float(pts * self.info.time_base)

    def __iter__(self) -> Iterator[Frame]:
        for index, step in enumerate(self._steps):
            if isinstance(step, SourceError):
                raise step
            if isinstance(step, int):
                yield Frame(
                    (LUMA,), "gray", ColorInfo(), step, self.info.time_base, index,
                    self._captured_at(step),
                )  # fmt: skip
            else:
                step()

    def close(self) -> None:
        self.closed += 1


class Camera:
    """Opens its sessions in order; an error is a failed attempt."""

    def __init__(self, *sessions: Session | SourceError) -> None:
        self.asked: list[StreamInfo | None] = []
        self.sessions = list(sessions)

    def open(self, info: StreamInfo | None) -> Session:
        self.asked.append(info)
        session = self.sessions[len(self.asked) - 1]
        if isinstance(session, SourceError):
            raise session
        return session

    def source(
        self,
        reconnect: Reconnect = FOREVER,
        *,
        duration_s: float | None = None,
        backoff: Backoff = AT_ONCE,
        refusals: Backoff | None = None,
    ) -> ReconnectingSource:
        return ReconnectingSource(
            self.open, "rtsp://cam", reconnect, duration_s=duration_s, backoff=backoff,
            refusals=refusals,
        )  # fmt: skip


def lost() -> SourceLostError:
    return SourceLostError(
        "rtsp://cam: the stream was lost (no answer in time); start again"
    )


def refused_connection() -> SourceOpenError:
    return SourceOpenError("rtsp://cam cannot be opened: refused; check the address")


def test_sessions_make_one_stream(caplog: pytest.LogCaptureFixture):
    camera = Camera(
        Session(0, 40, 80, lost()),
        refused_connection(),
        Session(5, lost()),
        Session(9000, 9040),
    )
    with caplog.at_level(logging.WARNING), camera.source() as source:
        frames = list(source)
        assert source.reconnects == 2
        assert source.error == ""
        assert (source.skipped, source.left_out) == (9, 3)
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.pts for frame in frames] == [0, 40, 80, 5, 9000, 9040]
    assert camera.asked == [None, *[camera.asked[1]] * 3]
    assert camera.asked[1] is not None
    assert camera.asked[1].width == 64
    assert [one.closed for one in camera.sessions if isinstance(one, Session)] == [
        1
    ] * 3
    first, second, *_ = caplog.messages
    assert first == (
        "rtsp://cam: the stream was lost (no answer in time); connecting again"
    )
    assert "connected again after" in second


def test_the_clock_of_the_pipeline_makes_one_timeline_of_the_sessions():
    pause = Backoff(0.2, 0.2)
    camera = Camera(
        Session(0, 40, lost()),
        Session(0, 3600, time_base=Fraction(1, 90000)),
    )
    with camera.source(backoff=pause) as source:
        clock = LiveClock(source.info.time_base)
        frames = [clock.stamp(frame) for frame in source]
    assert {frame.time_base for frame in frames} == {Fraction(1, 1000)}
    away_s = frames[2].captured_at - frames[0].captured_at
    assert away_s >= 0.1
    assert frames[2].time_s == pytest.approx(away_s, abs=1e-3)
    assert frames[3].pts - frames[2].pts == 40


def refused_password() -> SourceRefusedError:
    return SourceRefusedError("rtsp://cam: user name or password refused")


def test_a_password_that_was_never_right_ends_the_attempts():
    for reconnect in (FOREVER, Reconnect(None, first=True)):
        camera = Camera(refused_password())
        with pytest.raises(SourceRefusedError), camera.source(reconnect):
            pass
        assert len(camera.asked) == 1


def test_a_password_that_was_right_is_tried_again_slowly(
    caplog: pytest.LogCaptureFixture,
):
    camera = Camera(
        Session(0, lost()),
        refused_password(),
        refused_connection(),
        refused_password(),
        Session(40),
    )
    waits: list[str] = []
    with camera.source(
        backoff=Recorded("soon", waits), refusals=Recorded("slow", waits)
    ) as source:
        assert [frame.pts for frame in source] == [0, 40]
    assert waits == ["soon", "slow", "soon", "slow"]
    assert sum("it was right before" in text for text in caplog.messages) == 2
    camera = Camera(Session(0, lost()), *[refused_password()] * 3)
    with (
        camera.source(Reconnect(2), refusals=AT_ONCE) as source,
        pytest.raises(SourceRefusedError),
    ):
        list(source)


class Recorded(Backoff):
    """Hardly waits, and notes its name."""

    def __init__(self, name: str, waits: list[str]) -> None:
        super().__init__(1e-4, 1e-3)
        self._name, self._waits = name, waits

    def next_s(self) -> float:
        self._waits.append(self._name)
        return super().next_s()


def test_refusals_are_rarer_than_cameras_allow(monkeypatch: pytest.MonkeyPatch):
    waits = after_refusals()
    monkeypatch.setattr(waits._rng, "uniform", lambda shortest, _: shortest)
    moments = [0.0, *itertools.accumulate(waits.next_s() for _ in range(20))]
    for moment in moments:
        assert sum(moment - 1800 < each <= moment for each in moments) <= 5


def test_never_and_a_number_of_attempts():
    camera = Camera(Session(0, lost()))
    with camera.source(Reconnect(0)) as source, pytest.raises(SourceLostError):
        list(source)
    camera = Camera(Session(0, lost()), *[refused_connection()] * 3)
    with camera.source(Reconnect(3)) as source, pytest.raises(SourceOpenError):
        list(source)
    assert len(camera.asked) == 4


def test_sessions_that_are_soon_lost_count_as_failed_attempts():
    camera = Camera(*[Session(n, lost()) for n in range(5)])
    with camera.source(Reconnect(3)) as source, pytest.raises(SourceLostError):
        list(source)
    assert len(camera.asked) == 4


def test_an_error_of_the_decoder_is_a_loss(caplog: pytest.LogCaptureFixture):
    def fail() -> None:
        raise ZeroDivisionError("no rate")

    camera = Camera(Session(0, fail), Session(0, 40))
    with camera.source() as source:
        assert len(list(source)) == 3
    assert caplog.records[0].exc_info
    assert "the stream failed (ZeroDivisionError: no rate)" in caplog.messages[1]
    with (
        Camera(Session(0, fail)).source(Reconnect(0)) as source,
        pytest.raises(SourceLostError, match="no rate"),
    ):
        list(source)


def test_the_first_connection_is_tried_once_by_default():
    camera = Camera(refused_connection())
    with pytest.raises(SourceOpenError), camera.source():
        pass
    camera = Camera(refused_connection(), refused_connection(), Session(7))
    with camera.source(Reconnect(None, first=True)) as source:
        assert [frame.pts for frame in source] == [7]
    assert camera.asked == [None] * 3


def test_zero_attempts_apply_to_the_first_connection_too():
    camera = Camera(refused_connection(), Session(0))
    with pytest.raises(SourceOpenError), camera.source(Reconnect.parse("0")):
        pass
    assert len(camera.asked) == 1


def test_stopping_while_holding_the_lock_does_not_deadlock():
    # As a signal handler does that interrupts the main thread while it waits.
    with Camera(Session(0)).source() as source:
        with source._changed:
            source.stop()
        assert list(source) == []


def test_the_duration_covers_all_sessions():
    now = time.monotonic()
    camera = Camera(
        Session(0, 40, lost(), first_captured_at=now),
        Session(*range(0, 100_000, 40), first_captured_at=now + 20),
    )
    with camera.source(duration_s=60) as source:
        first, *_, last = list(source)
    assert first.captured_at == now
    assert 59.95 < last.captured_at - now < 60


def test_the_duration_ends_even_if_the_camera_never_comes_back():
    class Gone(Camera):
        def open(self, info: StreamInfo | None) -> Session:
            if info is not None:
                raise refused_connection()
            return super().open(info)

    began = time.monotonic()
    source = ReconnectingSource(
        Gone(Session(0, 40, lost())).open, "rtsp://cam", FOREVER, duration_s=0.5,
        backoff=Backoff(600, 600),
    )  # fmt: skip
    stopper = threading.Timer(WAIT_S, source.stop)
    stopper.start()
    with source:
        assert [frame.pts for frame in source] == [0, 40]
    stopper.cancel()
    stopper.join()
    assert 0.5 <= time.monotonic() - began < WAIT_S / 2


def test_stop_ends_a_wait_between_sessions():
    waiting = threading.Event()
    camera = Camera(Session(0, lost()))
    source = ReconnectingSource(
        camera.open, "rtsp://cam", FOREVER, backoff=Backoff(600, 600)
    )
    with source:
        reader = threading.Thread(target=lambda: [waiting.set() for _ in source])
        reader.start()
        assert waiting.wait(WAIT_S)
        source.stop()
        reader.join(WAIT_S)
        assert not reader.is_alive()


def test_a_thread_blocked_on_the_network_closes_its_session_itself():
    inside, released = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        assert released.wait(WAIT_S)

    session = Session(0, hang, 40)
    with Camera(session).source() as source:
        reader = threading.Thread(target=lambda: list(source))
        reader.start()
        assert inside.wait(WAIT_S)
    assert session.closed == 0  # no other thread may use it now
    released.set()
    reader.join(WAIT_S)
    assert session.closed == 1


def test_stop_ends_the_wait_for_the_first_session():
    inside, released = threading.Event(), threading.Event()
    session = Session(0)

    class Hanging(Camera):
        def open(self, info: StreamInfo | None) -> Session:
            inside.set()
            assert released.wait(WAIT_S)
            return super().open(info)

    source = Hanging(session).source()
    stopper = threading.Thread(target=lambda: (inside.wait(WAIT_S), source.stop()))
    stopper.start()
    with pytest.raises(SourceOpenError, match="stopped before"), source:
        pass
    stopper.join()
    released.set()
    for thread in threading.enumerate():
        if thread.name == "connect":
            thread.join(WAIT_S)
    assert session.closed == 1


def test_a_camera_that_is_away_for_long_is_logged_once(
    caplog: pytest.LogCaptureFixture,
):
    camera = Camera(Session(0, lost()), *[refused_connection()] * 50, Session(0))
    with caplog.at_level(logging.WARNING), camera.source() as source:
        list(source)
    assert len(caplog.records) == 2
