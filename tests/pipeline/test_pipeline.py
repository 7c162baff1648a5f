"""Whole runs: order, errors, drops, latency, and threads that end."""

import logging
import threading
from collections.abc import Iterator

import pytest

from streamdenoise.errors import ConfigError, SinkError, SourceLostError
from streamdenoise.frame import Frame
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.pipeline import reader
from streamdenoise.pipeline.pipeline import Pipeline
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.pipeline.reference import NoiseAdder, ReferenceReader
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair, Output
from tests.pipeline.parts import WAIT_S, Copier, ListSource, MemorySink
from tests.support.clock import Clock
from tests.support.frames import make_frame
from tests.support.waiting import wait_until


@pytest.mark.parametrize("lookahead", [0, 1, 2])
def test_every_frame_goes_through_in_order_with_its_timestamp(lookahead: int):
    source, sink = ListSource(40), MemorySink()
    stats = Pipeline(source, Copier(lookahead), [Output(sink)], capacity=2).run()
    assert sink.pts == [index * 3 for index in range(40)]
    assert (stats.frames_in, stats.frames_out, stats.dropped) == (40, 40, 0)
    assert stats.notes == ["a note", "sink note"]
    assert stats.psnr_in_db is None


def test_frames_that_stand_alone_reset_the_denoiser():
    denoiser, sink = Copier(lookahead=1), MemorySink()
    source = ListSource(5)
    Pipeline(source, denoiser, [Output(sink)], each_alone=True).run()
    assert denoiser.resets == 5
    assert [frame.index for frame in sink.frames] == list(range(5))


def test_every_output_gets_every_frame_and_its_own_rendering():
    plain, marked = MemorySink(), MemorySink()

    def render(pair: FramePair, stats: Stats) -> Frame:
        before, after = pair.noisy, pair.clean
        assert before.index == after.index
        assert before is not after
        return before.with_planes((before.planes[0] + 1, *before.planes[1:]))

    outputs = [Output(plain), Output(marked, render)]
    Pipeline(ListSource(10), Copier(2), outputs).run()
    assert plain.pts == marked.pts
    assert {int(frame.planes[0][0, 0]) for frame in marked.frames} == {101}


@pytest.mark.parametrize("lookahead", [0, 2])
def test_a_source_error_keeps_its_type_and_earlier_frames_are_written(lookahead: int):
    error = SourceLostError("rtsp://cam: no frame for 10 s; check the network")
    sink = MemorySink()
    with pytest.raises(SourceLostError) as caught:
        Pipeline(ListSource(7, error), Copier(lookahead), [Output(sink)]).run()
    assert caught.value is error
    assert len(sink.frames) == 7


@pytest.mark.parametrize("failing", [0, 1])
def test_a_sink_error_stops_the_source_and_the_other_sink(failing: int):
    source = ListSource(10_000)
    sinks = [MemorySink(), MemorySink()]
    sinks[failing] = MemorySink(error_at=3)
    with pytest.raises(SinkError, match="disk is full"):
        Pipeline(source, Copier(), [Output(sink) for sink in sinks]).run()
    assert source.given < 100
    assert len(sinks[failing].frames) == 3


def test_a_sink_error_wakes_a_pipeline_that_waits_for_a_silent_source():
    failed, released = threading.Event(), threading.Event()

    def stall(index: int) -> None:
        if index == 1:
            assert failed.wait(WAIT_S)
            released.set()

    sink = MemorySink(before=lambda frame: failed.set(), error_at=0)
    with pytest.raises(SinkError):
        Pipeline(ListSource(5, before=stall), Copier(), [Output(sink)]).run()
    assert released.is_set()


def test_a_denoiser_error_keeps_its_type_and_earlier_frames_are_written():
    sink = MemorySink()
    with pytest.raises(FloatingPointError):
        Pipeline(ListSource(1000), Copier(fail_at=5), [Output(sink)]).run()
    assert len(sink.frames) == 5


def test_an_error_of_the_stats_callback_ends_the_run():
    def complain(stats: Stats) -> None:
        raise LookupError("who reads this?")

    with pytest.raises(LookupError):
        Pipeline(ListSource(1000), Copier(), [Output(MemorySink())]).run(complain)


def test_ctrl_c_in_the_callers_thread_ends_all_threads():
    def interrupt(stats: Stats) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Pipeline(ListSource(1000), Copier(), [Output(MemorySink())]).run(interrupt)


def test_stop_from_other_threads_any_number_of_times():
    sink = MemorySink()

    def stop_twice(index: int) -> None:
        if index == 20:
            for _ in range(2):
                stopper = threading.Thread(target=pipeline.stop)
                stopper.start()
                stopper.join(WAIT_S)

    pipeline = Pipeline(
        ListSource(10**9, before=stop_twice), Copier(2), [Output(sink)], capacity=1
    )
    stats = pipeline.run()
    pipeline.stop()
    # Everything denoised is written, frames that the denoiser held back included.
    assert sink.pts == [index * 3 for index in range(len(sink.frames))]
    assert 15 <= stats.frames_out <= 20


def test_stop_before_run_writes_nothing():
    sink = MemorySink()
    pipeline = Pipeline(ListSource(10**9), Copier(), [Output(sink)])
    pipeline.stop()
    assert pipeline.run().frames_out == 0
    assert sink.frames == []


def test_a_pipeline_runs_once():
    pipeline = Pipeline(ListSource(1), Copier(), [Output(MemorySink())])
    pipeline.run()
    with pytest.raises(RuntimeError, match="runs once"):
        pipeline.run()


def test_a_live_source_drops_the_oldest_and_counts_exactly(
    caplog: pytest.LogCaptureFixture,
):
    gate = threading.Event()

    class Waiting(Copier):
        def process(self, frame: Frame) -> list[Frame]:
            assert gate.wait(WAIT_S)
            return super().process(frame)

    class OpensTheGate(ListSource):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            gate.set()

    sink = MemorySink()
    with caplog.at_level(logging.WARNING, "streamdenoise"):
        stats = Pipeline(
            OpensTheGate(50, is_live=True), Waiting(), [Output(sink)], capacity=4
        ).run()
    # One frame may be in the denoiser before the queue fills up.
    assert stats.frames_in == 50
    assert stats.dropped + stats.frames_out == 50
    assert stats.frames_out in (4, 5)
    assert sink.pts[-4:] == [index * 3 for index in range(46, 50)]
    drops = [record.message for record in caplog.records]
    assert len(drops) == 1
    assert f"dropped {stats.dropped} frames" in drops[0]


def test_a_slow_output_of_a_live_source_drops_too():
    gate = threading.Event()
    sink = MemorySink(before=lambda frame: gate.wait(WAIT_S))

    class OpensTheGate(Copier):
        def flush(self) -> list[Frame]:
            gate.set()
            return super().flush()

    stats = Pipeline(
        ListSource(50, is_live=True), OpensTheGate(), [Output(sink)], capacity=4
    ).run()
    assert stats.frames_in == stats.dropped + stats.frames_out == 50
    assert stats.dropped >= 40


def test_the_overflow_policy_can_be_given():
    sink = MemorySink()
    source = ListSource(60, is_live=True)
    stats = Pipeline(
        source, Copier(), [Output(sink)], overflow=Overflow.BLOCK, capacity=1
    ).run()
    assert (stats.frames_out, stats.dropped) == (60, 0)


def test_latency_runs_from_capture_to_after_the_write():
    clock = Clock(0.0)

    def write_takes_a_moment(frame: Frame) -> None:
        clock.now = frame.captured_at + 0.004 * (1 + frame.index)

    source = ListSource(100)
    sink = MemorySink(before=write_takes_a_moment)
    stats = Pipeline(source, Copier(), [Output(sink)], clock=clock).run()
    assert stats.latency.p50_ms == pytest.approx(4 * 51)
    assert stats.latency.p99_ms == pytest.approx(4 * 100)
    assert stats.elapsed_s == pytest.approx(0.4)


def test_the_callback_gets_figures_during_the_run_and_at_the_end():
    seen: list[Stats] = []

    def wait_for_the_callback(index: int) -> None:
        if index == 20:
            wait_until(lambda: len(seen) > 1)

    source = ListSource(30, before=wait_for_the_callback)
    pipeline = Pipeline(source, Copier(), [Output(MemorySink())], stats_interval_s=0)
    stats = pipeline.run(seen.append)
    assert seen[1].frames_in <= 20
    assert seen[-1] is stats
    assert stats.fps_in > 0
    assert stats.fps_out > 0


def test_the_denoisers_own_figures_are_shown_as_estimates():
    denoiser = Copier()
    denoiser.sigma, denoiser.strength = 12.5, 0.5
    denoiser.noise_levels = (3.0, 7.0, 9.0, 5.0, 5.0, 4.0, 4.0)
    denoiser.psnr_estimate = (26.2, 33.0)
    stats = Pipeline(ListSource(3), denoiser, [Output(MemorySink())]).run()
    assert (stats.sigma, stats.strength) == (12.5, 0.5)
    assert stats.noise_levels == denoiser.noise_levels
    assert (stats.psnr_in_db, stats.psnr_out_db) == (26.2, 33.0)
    assert stats.psnr_is_estimate


def test_psnr_is_measured_against_the_frame_before_noise_was_added():
    class KnowsTheTruth(Copier):
        def process(self, frame: Frame) -> list[Frame]:
            return super().process(make_frame(frame.index, value=101))

    stats = Pipeline(
        ListSource(8),
        KnowsTheTruth(),
        [Output(MemorySink())],
        reference=NoiseAdder(AddedNoise(25.0)),
    ).run()
    assert not stats.psnr_is_estimate
    # Luma noise in the limited range of BT.601: 0.574 of that in RGB.
    assert stats.psnr_in_db == pytest.approx(25.0, abs=0.2)
    assert stats.psnr_out_db == pytest.approx(48.13, abs=0.01)


def test_psnr_is_measured_against_the_reference_frame_of_the_same_index():
    reference = [make_frame(index, value=100 + index) for index in (0, 1, 3, 4)]
    find = ReferenceReader(reference)
    found = [find(make_frame(index))[1] for index in (0, 2, 3, 4, 5)]
    assert [frame and frame.index for frame in found] == [0, None, 3, 4, None]


def test_a_reference_of_another_size_is_an_error_with_both_sizes():
    find = ReferenceReader([make_frame(width=32, pix_fmt="gray")])
    with pytest.raises(ConfigError, match="32x48 gray but the input 64x48 yuv420p"):
        Pipeline(ListSource(3), Copier(), [Output(MemorySink())], reference=find).run()


def test_a_source_that_never_stops_is_left_behind(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "_JOIN_S", 0.05)
    stuck = threading.Event()

    def hang(index: int) -> None:
        if index == 1:
            pipeline.stop()
            stuck.wait(WAIT_S)

    pipeline = Pipeline(ListSource(5, before=hang), Copier(), [Output(MemorySink())])
    pipeline.run()
    assert pipeline.is_reading
    stuck.set()
