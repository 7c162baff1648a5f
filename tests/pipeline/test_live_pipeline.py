"""Pipelines that go on: held pictures, outputs that fail alone, stops at once."""

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from streamdenoise.errors import SinkError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.jobs.overlay import draw_no_signal
from streamdenoise.pipeline.pipeline import LiveRules, Output, Pipeline
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.pipeline.stats import Stats

WAIT_S = 10
TIME_BASE = Fraction(1, 90000)


def picture(index: int, pts: int) -> Frame:
    luma = np.full((48, 64), 100, np.uint8)
    chroma = np.full((24, 32), 128, np.uint8)
    return Frame(
        (luma, chroma, chroma), "yuv420p", ColorInfo(), pts, TIME_BASE, index,
        time.monotonic(),
    )  # fmt: skip


class Camera:
    """Frames of a clock of its own; at the numbers in `silent` it waits to be told."""

    def __init__(self, count: int, silent: tuple[int, ...] = ()) -> None:
        self.info = StreamInfo(64, 48, "yuv420p", time_base=TIME_BASE, is_live=True)
        self.may_go_on = threading.Event()
        self.is_silent = threading.Event()
        self._count, self._silent = count, silent

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            if index in self._silent:
                self.is_silent.set()
                self.may_go_on.wait(WAIT_S)
            yield picture(index, 500_000 + 3600 * index)


class Passing:
    """Gives frames as they are, but for those in `shed`."""

    def __init__(self, shed: tuple[int, ...] = ()) -> None:
        self._shed = shed

    def process(self, frame: Frame) -> list[Frame]:
        return [] if frame.index in self._shed else [frame]

    def flush(self) -> list[Frame]:
        return []


class Keeping:
    """A sink that keeps frames, or fails at one; tells when it has so many."""

    notes = ()

    def __init__(self, enough: int = 10**9, error_at: int | None = None) -> None:
        self.frames: list[Frame] = []
        self.has_enough = threading.Event()
        self.aborted = False
        self._enough, self._error_at = enough, error_at

    def write(self, frame: Frame) -> None:
        if len(self.frames) == self._error_at:
            raise SinkError("a.mkv: the disk is full")
        self.frames.append(frame)
        if len(self.frames) == self._enough:
            self.has_enough.set()

    def abort(self) -> None:
        self.aborted = True


def run(pipeline: Pipeline) -> tuple[threading.Thread, list[Stats]]:
    result: list[Stats] = []
    thread = threading.Thread(target=lambda: result.append(pipeline.run()))
    thread.start()
    return thread, result


def test_the_last_picture_is_held_and_marked_while_none_comes():
    camera, sink = Camera(10, silent=(5,)), Keeping(enough=8)
    rules = LiveRules(hold=draw_no_signal, hold_after_s=0.05)
    pipeline = Pipeline(camera, Passing(), [Output(sink)], live=rules, capacity=20)
    thread, result = run(pipeline)
    assert sink.has_enough.wait(WAIT_S)  # five frames and three held ones
    camera.may_go_on.set()
    thread.join(WAIT_S)
    pts = [frame.pts for frame in sink.frames]
    assert all(a < b for a, b in itertools.pairwise(pts))
    marked = [len(np.unique(frame.planes[0])) > 1 for frame in sink.frames]
    assert marked[:8] == [False] * 5 + [True] * 3
    assert sum(not one for one in marked) == 10
    assert result[0].frames_in == 10
    assert result[0].latency.count == 10  # held pictures have no age


def test_a_gap_is_left_where_that_is_wanted():
    camera, sink = Camera(10, silent=(5,)), Keeping()
    pipeline = Pipeline(
        camera, Passing(), [Output(sink)], live=LiveRules(), capacity=20,
        stats_interval_s=0,
    )  # fmt: skip

    def look(stats: Stats) -> None:
        if camera.is_silent.is_set() and stats.frame_age_s > 0.3:
            camera.may_go_on.set()

    stats = pipeline.run(look)
    assert stats.frames_out == 10
    assert [frame.pts for frame in sink.frames[:5]] == [3600 * n for n in range(5)]


def test_an_output_that_fails_is_left_out_and_told_at_the_end(
    caplog: pytest.LogCaptureFixture,
):
    camera, good, bad = Camera(20, silent=(10,)), Keeping(10), Keeping(error_at=3)
    outputs = [Output(bad, name="a.mkv"), Output(good, name="b.mkv")]
    pipeline = Pipeline(camera, Passing(), outputs, live=LiveRules(), capacity=20)

    def look(stats: Stats) -> None:
        if good.has_enough.is_set():
            camera.may_go_on.set()

    with caplog.at_level(logging.ERROR), pytest.raises(SinkError, match="disk is full"):
        pipeline.run(look)
    assert len(good.frames) == 20
    assert bad.aborted
    assert caplog.messages == ["a.mkv: the disk is full; the other outputs go on"]


class Away(Keeping):
    """Drops every second frame, as `RetryingSink` does while it is away."""

    dropped = 0

    def write(self, frame: Frame) -> None:
        if frame.index % 2:
            self.dropped += 1
        else:
            super().write(frame)


def test_what_an_output_drops_is_not_told_as_written():
    camera, sink = Camera(10), Away()
    pipeline = Pipeline(
        camera, Passing(), [Output(sink)], live=LiveRules(), capacity=20
    )
    thread, result = run(pipeline)
    thread.join(WAIT_S)
    (told,) = result[0].outputs
    assert (told.frames, told.dropped, told.latency.count) == (5, 5, 5)


def test_the_run_ends_when_no_output_is_left():
    camera = Camera(10**9)
    outputs = [Output(Keeping(error_at=3)), Output(Keeping(error_at=5))]
    with pytest.raises(SinkError):
        Pipeline(camera, Passing(), outputs, live=LiveRules()).run()


def test_frames_left_out_on_purpose_count_as_load():
    camera, sink = Camera(10), Keeping()
    stats = Pipeline(
        camera, Passing(shed=(3, 4, 7)), [Output(sink)], live=LiveRules(), capacity=20
    ).run()
    assert [frame.index for frame in sink.frames] == [0, 1, 2, 5, 6, 8, 9]
    assert stats.drops == {"denoising": 0, "writing": 0, "load": 3}


def test_a_stop_does_not_wait_for_a_source_that_waits_for_the_network():
    camera, sink = Camera(10, silent=(5,)), Keeping(enough=5)
    pipeline = Pipeline(
        camera, Passing(), [Output(sink)], live=LiveRules(), capacity=20
    )
    thread, result = run(pipeline)
    assert sink.has_enough.wait(WAIT_S)
    assert camera.is_silent.wait(WAIT_S)
    began = time.monotonic()
    pipeline.stop()
    thread.join(WAIT_S)
    assert time.monotonic() - began < 5  # the camera would take ten
    assert result[0].frames_out == 5
    camera.may_go_on.set()
    for left in threading.enumerate():
        if left.name == "decode":
            left.join(WAIT_S)


def test_a_stop_interrupts_an_output_that_waits_for_the_network():
    class Hanging(Keeping):
        interrupted = threading.Event()

        def write(self, frame: Frame) -> None:
            super().write(frame)
            if not self.interrupted.wait(WAIT_S):
                raise AssertionError("nobody came")
            raise SinkError("rtsp://here: interrupted")

        def interrupt(self) -> None:
            self.interrupted.set()

    camera, hanging, good = Camera(10**9, silent=(5,)), Hanging(1), Keeping(5)
    pipeline = Pipeline(
        camera, Passing(), [Output(hanging), Output(good)], live=LiveRules(),
        capacity=20,
    )  # fmt: skip
    thread, result = run(pipeline)
    assert hanging.has_enough.wait(WAIT_S)
    assert good.has_enough.wait(WAIT_S)
    pipeline.stop()
    thread.join(WAIT_S)
    assert result  # no error: it was us who ended it
    assert len(good.frames) == 5
    camera.may_go_on.set()
    for left in threading.enumerate():
        if left.name == "decode":
            left.join(WAIT_S)


def test_a_stop_does_not_wait_for_an_output_that_blocks_everything():
    class Hanging(Keeping):
        interrupted = threading.Event()

        def write(self, frame: Frame) -> None:
            super().write(frame)
            if not self.interrupted.wait(WAIT_S):
                raise AssertionError("nobody came")
            raise SinkError("rtsp://here: interrupted")

        def interrupt(self) -> None:
            self.interrupted.set()

    camera, hanging = Camera(10**9), Hanging(1)
    pipeline = Pipeline(
        camera, Passing(), [Output(hanging)], live=LiveRules(),
        overflow=Overflow.BLOCK,
    )  # fmt: skip
    thread, result = run(pipeline)
    assert hanging.has_enough.wait(WAIT_S)
    while len(pipeline._writers[0].queue) < 4:  # now the denoiser's thread waits
        time.sleep(0.01)
    pipeline.stop()
    thread.join(WAIT_S / 2)
    assert result


def test_frames_that_come_while_the_engine_is_prepared_do_not_wait():
    camera, sink = Camera(104, silent=(100,)), Keeping()

    def prepare() -> None:
        assert camera.is_silent.wait(WAIT_S)
        camera.may_go_on.set()

    stats = Pipeline(
        camera, Passing(), [Output(sink)], live=LiveRules(prepare=prepare), capacity=4
    ).run()
    assert stats.drops["denoising"] >= 96
    assert sink.frames[0].index >= 96
    assert sink.frames[0].pts == 0


def test_pipelines_without_rules_leave_timestamps_alone():
    sink = Keeping()
    Pipeline(Camera(3), Passing(), [Output(sink)]).run()
    assert [frame.pts for frame in sink.frames] == [500_000, 503_600, 507_200]
