"""Live pipelines: held frames, outputs that fail alone, quick stops."""

import itertools
import logging
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.options import Reconnect
from streamdenoise.io.protocols import Recovering, RecoveringSink, Source
from streamdenoise.io.sinks.retrying import RetryingSink
from streamdenoise.io.sources.reconnecting import ReconnectingSource
from streamdenoise.jobs.overlay import draw_no_signal
from streamdenoise.pipeline.live_rules import LiveRules
from streamdenoise.pipeline.pipeline import Pipeline
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Output
from tests.pipeline.parts import WAIT_S, Copier, ListSource, MemorySink
from tests.support.frames import make_frame
from tests.support.waiting import wait_until

TIME_BASE = Fraction(1, 90000)


class Camera(ListSource):
    """Frames with a clock of their own; at the indices in `silent` it pauses."""

    def __init__(self, count: int, silent: tuple[int, ...] = ()) -> None:
        super().__init__(count, before=self._pause, make=self._frame)
        self.info = StreamInfo(64, 48, "yuv420p", time_base=TIME_BASE, is_live=True)
        self.may_continue = threading.Event()
        self.is_silent = threading.Event()
        self._silent = silent

    def _pause(self, index: int) -> None:
        if index in self._silent:
            self.is_silent.set()
            self.may_continue.wait(WAIT_S)

    @staticmethod
    def _frame(index: int) -> Frame:
        return make_frame(
            index,
            pts=500_000 + 3600 * index,
            time_base=TIME_BASE,
            captured_at=time.monotonic(),
        )


class OftenAway(MemorySink):
    """Drops every second frame, as `RetryingSink` does while it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped, self.reconnects, self.error = 0, 2, "away"

    def write(self, frame: Frame) -> None:
        if frame.index % 2:
            self.dropped += 1
        else:
            super().write(frame)

    def interrupt(self) -> None:
        pass


class Hanging(MemorySink):
    """Blocks in its first frame until it is interrupted."""

    def __init__(self) -> None:
        super().__init__(enough=1)
        self.dropped, self.reconnects, self.error = 0, 0, ""
        self.interrupted = threading.Event()

    def write(self, frame: Frame) -> None:
        super().write(frame)
        assert self.interrupted.wait(WAIT_S), "no interruption"
        raise SinkError("rtsp://here: interrupted")

    def interrupt(self) -> None:
        self.interrupted.set()


def run(pipeline: Pipeline) -> tuple[threading.Thread, list[Stats]]:
    result: list[Stats] = []
    thread = threading.Thread(target=lambda: result.append(pipeline.run()))
    thread.start()
    return thread, result


def test_the_last_frame_is_held_and_marked_while_none_arrives():
    camera, sink = Camera(10, silent=(5,)), MemorySink(enough=8)
    rules = LiveRules(hold=draw_no_signal, hold_after_s=0.05)
    pipeline = Pipeline(camera, Copier(), [Output(sink)], live=rules, capacity=20)
    thread, result = run(pipeline)
    assert sink.has_enough.wait(WAIT_S)  # five frames and three held ones
    camera.may_continue.set()
    thread.join(WAIT_S)
    pts = [frame.pts for frame in sink.frames]
    assert all(a < b for a, b in itertools.pairwise(pts))
    marked = [len(np.unique(frame.planes[0])) > 1 for frame in sink.frames]
    assert marked[:8] == [False] * 5 + [True] * 3
    assert sum(not one for one in marked) == 10
    assert result[0].frames_in == 10
    assert result[0].latency.count == 10  # held frames have no age


def test_without_holding_a_gap_stays_in_the_timestamps():
    camera, sink = Camera(10, silent=(5,)), MemorySink()
    pipeline = Pipeline(
        camera, Copier(), [Output(sink)], live=LiveRules(), capacity=20,
        stats_interval_s=0,
    )  # fmt: skip

    def look(stats: Stats) -> None:
        if camera.is_silent.is_set() and stats.frame_age_s > 0.3:
            camera.may_continue.set()

    stats = pipeline.run(look)
    assert stats.frames_out == 10
    assert [frame.pts for frame in sink.frames[:5]] == [3600 * n for n in range(5)]


def test_an_output_that_fails_is_dropped_and_reported_at_the_end(
    caplog: pytest.LogCaptureFixture,
):
    camera, good, bad = (
        Camera(20, silent=(10,)),
        MemorySink(enough=10),
        MemorySink(error_at=3),
    )
    outputs = [Output(bad, name="a.mkv"), Output(good, name="b.mkv")]
    pipeline = Pipeline(camera, Copier(), outputs, live=LiveRules(), capacity=20)

    def look(stats: Stats) -> None:
        if good.has_enough.is_set():
            camera.may_continue.set()

    with caplog.at_level(logging.ERROR), pytest.raises(SinkError, match="disk is full"):
        pipeline.run(look)
    assert len(good.frames) == 20
    assert bad.aborted
    assert caplog.messages == [
        "a.mkv: the disk is full; free some space; the other outputs continue"
    ]


def test_frames_that_a_sink_drops_do_not_count_as_written():
    pipeline = Pipeline(
        Camera(10), Copier(), [Output(OftenAway())], live=LiveRules(), capacity=20
    )
    (output,) = pipeline.run().outputs
    assert (output.frames, output.dropped, output.latency.count) == (5, 5, 5)
    assert (output.reconnects, output.error) == (2, "away")


def test_the_run_ends_when_no_output_is_left():
    camera = Camera(10**9)
    outputs = [Output(MemorySink(error_at=3)), Output(MemorySink(error_at=5))]
    with pytest.raises(SinkError):
        Pipeline(camera, Copier(), outputs, live=LiveRules()).run()


def test_a_view_neither_keeps_the_run_going_nor_counts():
    view = Output(MemorySink(), is_view=True)
    outputs = [Output(MemorySink(error_at=3)), view]
    with pytest.raises(SinkError):
        Pipeline(Camera(10**9), Copier(), outputs, live=LiveRules()).run()


def test_a_slow_view_holds_nothing_up_and_its_drops_are_no_losses():
    gate = threading.Event()
    slow = MemorySink(before=lambda frame: gate.wait(WAIT_S))
    recording = MemorySink(enough=50)

    def look(stats: Stats) -> None:
        if recording.has_enough.is_set():
            gate.set()

    stats = Pipeline(
        Camera(50),
        Copier(),
        [Output(slow, name="page", is_view=True), Output(recording, name="a.mkv")],
        overflow=Overflow.BLOCK,
        live=LiveRules(),
        stats_interval_s=0,
    ).run(look)
    assert len(recording.frames) == stats.frames_out == 50
    assert len(slow.frames) < 50
    assert stats.dropped == 0
    assert [output.name for output in stats.outputs] == ["a.mkv"]


def test_frames_that_the_source_leaves_out_count_as_decoding(
    caplog: pytest.LogCaptureFixture,
):
    camera = Camera(10)
    camera.left_out = 5  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING, "streamdenoise"):
        stats = Pipeline(
            camera, Copier(), [Output(MemorySink())], live=LiveRules(), capacity=20
        ).run()
    assert stats.drops == {"decoding": 5, "denoising": 0, "writing": 0, "load": 0}
    assert "decoding is too slow, dropped 5 frames" in caplog.text


def test_frames_that_the_denoiser_leaves_out_count_as_load():
    camera, sink = Camera(10), MemorySink()
    stats = Pipeline(
        camera, Copier(shed=(3, 4, 7)), [Output(sink)], live=LiveRules(), capacity=20
    ).run()
    assert [frame.index for frame in sink.frames] == [0, 1, 2, 5, 6, 8, 9]
    assert stats.drops == {"denoising": 0, "writing": 0, "load": 3}


def test_stop_does_not_wait_for_a_source_blocked_on_the_network():
    camera, sink = Camera(10, silent=(5,)), MemorySink(enough=5)
    pipeline = Pipeline(camera, Copier(), [Output(sink)], live=LiveRules(), capacity=20)
    thread, result = run(pipeline)
    assert sink.has_enough.wait(WAIT_S)
    assert camera.is_silent.wait(WAIT_S)
    began = time.monotonic()
    pipeline.stop()
    thread.join(WAIT_S)
    assert time.monotonic() - began < 5  # the camera would take ten
    assert result[0].frames_out == 5
    camera.may_continue.set()


def test_stop_interrupts_an_output_blocked_on_the_network():
    camera, hanging, good = Camera(10**9, silent=(5,)), Hanging(), MemorySink(enough=5)
    pipeline = Pipeline(
        camera, Copier(), [Output(hanging), Output(good)], live=LiveRules(),
        capacity=20,
    )  # fmt: skip
    thread, result = run(pipeline)
    assert hanging.has_enough.wait(WAIT_S)
    assert good.has_enough.wait(WAIT_S)
    pipeline.stop()
    thread.join(WAIT_S)
    assert result  # no error, because the interruption was ours
    assert len(good.frames) == 5
    camera.may_continue.set()


def test_stop_does_not_wait_for_an_output_that_blocks_the_denoiser():
    camera, hanging = Camera(10**9), Hanging()
    pipeline = Pipeline(
        camera, Copier(), [Output(hanging)], live=LiveRules(),
        overflow=Overflow.BLOCK,
    )  # fmt: skip
    thread, result = run(pipeline)
    assert hanging.has_enough.wait(WAIT_S)
    # Now the denoiser's thread waits for room in the output's queue.
    wait_until(lambda: len(pipeline._writers[0].queue) == 4)
    pipeline.stop()
    thread.join(WAIT_S / 2)
    assert result


class EndsSlowly(MemorySink):
    """Ends only once all others have started to end."""

    def __init__(self, barrier: threading.Barrier, error: str = "") -> None:
        super().__init__()
        self.is_closed = False
        self._barrier, self._error = barrier, error

    def close(self) -> None:
        self._barrier.wait(WAIT_S)
        if self._error:
            raise SinkError(self._error)
        self.is_closed = True


def test_outputs_end_at_the_same_time(caplog: pytest.LogCaptureFixture):
    barrier = threading.Barrier(4)
    errors = ("", "a.mkv cannot be finished", "", "b.mkv cannot be finished")
    sinks = [EndsSlowly(barrier, error) for error in errors]
    with pytest.raises(SinkError, match="cannot be finished") as caught:
        Pipeline(Camera(3), Copier(), list(map(Output, sinks)), live=LiveRules()).run()
    assert {str(caught.value), *caplog.messages} == set(errors) - {""}
    assert [sink.is_closed for sink in sinks] == [True, False] * 2
    assert [sink.aborted for sink in sinks] == [False, True] * 2


def test_frames_that_arrive_while_the_engine_is_prepared_are_dropped():
    camera, sink = Camera(104, silent=(100,)), MemorySink()

    def prepare() -> None:
        assert camera.is_silent.wait(WAIT_S)
        camera.may_continue.set()

    stats = Pipeline(
        camera, Copier(), [Output(sink)], live=LiveRules(prepare=prepare), capacity=4
    ).run()
    assert stats.drops["denoising"] >= 96
    assert sink.frames[0].index >= 96
    assert sink.frames[0].pts == 0


def test_pipelines_without_rules_leave_timestamps_alone():
    sink = MemorySink()
    Pipeline(Camera(3), Copier(), [Output(sink)]).run()
    assert [frame.pts for frame in sink.frames] == [500_000, 503_600, 507_200]


def test_sources_and_sinks_that_reconnect_are_recognized():
    def open_session(known: StreamInfo | None) -> Source:
        raise AssertionError("must not be opened")

    again = Reconnect(first=True)
    assert isinstance(
        RetryingSink(lambda _: MemorySink(), "a", reconnect=again), RecoveringSink
    )
    assert isinstance(ReconnectingSource(open_session, "a", again), Recovering)
    assert not isinstance(MemorySink(), RecoveringSink)
    assert not isinstance(ListSource(1), Recovering)
