"""Parts that hang are reported, cost nothing else, and are left behind at the end."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from streamdenoise.errors import HungError
from streamdenoise.frame import Frame
from streamdenoise.pipeline import pipeline as pipeline_module
from streamdenoise.pipeline.live_rules import LiveRules
from streamdenoise.pipeline.patience import Patience
from streamdenoise.pipeline.pipeline import Pipeline
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Output
from streamdenoise.progress import Stage, within
from tests.pipeline.parts import WAIT_S, Copier, ListSource, MemorySink
from tests.support.clock import Clock

HANG_S = 0.15
RULES = LiveRules(wall_clock=False, hang_s=lambda: HANG_S)


@pytest.fixture
def wake() -> Iterator[threading.Event]:
    """Ends all hangs of a test."""
    event = threading.Event()
    yield event
    event.set()


class Closes(MemorySink):
    """Notes whether it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Hanging(Closes):
    """Hangs in its fourth frame, or when it is closed, until `wake` is set."""

    def __init__(self, wake: threading.Event, *, in_close: bool = False) -> None:
        super().__init__()
        self._wake, self._in_close = wake, in_close

    def write(self, frame: Frame) -> None:
        if len(self.frames) == 3 and not self._in_close:
            self._wake.wait(WAIT_S)
        super().write(frame)

    def close(self) -> None:
        if self._in_close:
            self._wake.wait(WAIT_S)
        super().close()


class Endless(ListSource):
    """A live source of frames every 5 ms."""

    def __init__(self) -> None:
        super().__init__(10**9, is_live=True, before=lambda index: time.sleep(0.005))


@pytest.mark.parametrize("in_close", [False, True])
@pytest.mark.parametrize("is_live", [False, True])
def test_an_output_that_hangs_is_left_behind_and_the_others_are_finished(
    wake: threading.Event,
    in_close: bool,
    is_live: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    hanging, good = Hanging(wake, in_close=in_close), Closes()
    outputs = [Output(hanging, name="a.mkv"), Output(good, name="b.mkv")]
    rules = RULES if is_live else None
    source = Endless() if is_live else ListSource(20)
    monkeypatch.setattr(pipeline_module, "file_rules", lambda: RULES)
    pipeline = Pipeline(source, Copier(), outputs, live=rules, stats_interval_s=0)

    def stop_soon(stats: Stats) -> None:
        if len(good.frames) > 10 or stats.outputs[0].hangs:
            pipeline.stop()

    began = time.monotonic()
    where = "finishing" if in_close else "writing a frame"
    with pytest.raises(HungError, match=rf"^a.mkv was not finished: .* {where}; check"):
        pipeline.run(stop_soon)
    assert time.monotonic() - began < WAIT_S / 2
    assert good.is_closed
    assert not hanging.is_closed
    assert not pipeline.is_watching


def test_an_output_that_hangs_is_down_until_it_goes_on(
    wake: threading.Event, caplog: pytest.LogCaptureFixture
):
    hanging = Hanging(wake)
    pipeline = Pipeline(
        Endless(), Copier(), [Output(hanging, name="a.mkv")], live=RULES,
        stats_interval_s=0,
    )  # fmt: skip
    seen: list[Stats] = []

    def look(stats: Stats) -> None:
        seen.append(stats)
        if stats.outputs[0].hangs:
            wake.set()
        elif wake.is_set():
            pipeline.stop()

    with caplog.at_level(logging.WARNING, "streamdenoise.pipeline.writer"):
        stats = pipeline.run(look)
    (down, *_) = [each.outputs[0] for each in seen if each.outputs[0].hangs]
    assert down.error.startswith("no progress for ")
    assert down.error.endswith(" while writing a frame")
    assert not stats.outputs[0].error
    hangs, goes_on = caplog.messages
    assert hangs.startswith("a.mkv: no progress for ")
    assert goes_on.startswith("a.mkv goes on after ")
    assert goes_on.endswith(f"; {stats.outputs[0].dropped} frames were not written")


@pytest.mark.parametrize("method", ["process", "flush", "prepare"])
def test_a_denoiser_that_hangs_is_left_behind_and_outputs_are_finished(
    wake: threading.Event, method: str
):
    class Stuck(Copier):
        def process(self, frame: Frame) -> list[Frame]:
            if frame.index >= 5 and method == "process":
                wake.wait(WAIT_S)
            return super().process(frame)

        def flush(self) -> list[Frame]:
            wake.wait(WAIT_S)
            return super().flush()

    def load() -> None:
        wake.wait(WAIT_S)

    sink = Closes()
    rules = LiveRules(
        wall_clock=False,
        hang_s=lambda: HANG_S,
        prepare=load if method == "prepare" else None,
    )
    pipeline = Pipeline(
        Endless(), Stuck(), [Output(sink)], live=rules, stats_interval_s=0
    )
    errors: list[str] = []

    def look(stats: Stats) -> None:
        errors.append(stats.denoiser_error)
        if stats.denoiser_error or (method == "flush" and len(sink.frames) > 3):
            pipeline.stop()

    if method == "prepare":
        threading.Timer(0.05, pipeline.stop).start()
    with pytest.raises(HungError, match=r"the denoiser did not stop: no progress for"):
        pipeline.run(look)
    assert sink.is_closed
    if method == "process":
        assert errors[-1].endswith(" while denoising a frame")


def test_what_is_opened_on_a_disk_that_hangs_is_left_behind(wake: threading.Event):
    assert within(WAIT_S, "opening a.mkv", lambda: 3) == 3
    with pytest.raises(LookupError):
        within(WAIT_S, "opening a.mkv", lambda: {}["no"])
    with pytest.raises(HungError, match=r"^opening a.mkv hangs: .* for 0.05 s; check"):
        within(0.05, "opening a.mkv", lambda: wake.wait(WAIT_S))


def test_files_get_time_while_a_processor_is_busy():
    clock, cpu = Clock(0.0), Clock(0.0)
    patience = Patience(clock, cpu)

    def pass_time(seconds: float, share: float) -> float:
        for _ in range(round(seconds / 0.05)):
            clock.now += 0.05
            cpu.now += 0.05 * share
            limit_s = patience()
        return limit_s

    assert pass_time(10, 1.5) == 60
    assert pass_time(1, 0) == 60
    assert pass_time(2, 0.01) == 10
    assert pass_time(1, 1) == 60


def test_work_counts_from_the_last_part_of_it_that_was_finished():
    clock = Clock(0.0)
    stage = Stage(clock)
    stage.advance()  # nothing is in hand
    with stage.doing("finishing"):
        clock.now = 9
        stage.advance()
        clock.now = 18
        assert stage.hang(10) == ""
        with stage.doing("renaming"):
            clock.now = 29
            assert stage.hang(10) == "no progress for 11 s while renaming"
        assert stage.hang(10) == ""
        clock.now = 40
        assert stage.hang(10) == "no progress for 11 s while finishing"
    assert stage.hang(0) == ""
