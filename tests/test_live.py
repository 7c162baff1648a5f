"""Keys and recordings of the live job, without a window."""

from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest

from streamdenoise.config import LiveConfig, View
from streamdenoise.denoiser import Denoiser
from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.jobs import StopSwitch
from streamdenoise.live import LiveControls, Recorder, denoise_live
from streamdenoise.stats import Stats

INFO = StreamInfo(64, 48, "yuv420p", Fraction(25), Fraction(1, 1000))


def make_frame(index: int) -> Frame:
    luma = np.full((48, 64), 100, np.uint8)
    chroma = np.full((24, 32), 128, np.uint8)
    return Frame(
        (luma, chroma, chroma), "yuv420p", ColorInfo(), index * 40, Fraction(1, 1000),
        index, 0.0,
    )  # fmt: skip


def recorder_in(folder: Path) -> Recorder:
    return Recorder(INFO, folder=folder, now=lambda: datetime(2026, 3, 4, 5, 6, 7))


def test_a_recording_holds_the_frames_while_it_was_on_from_time_zero(tmp_path: Path):
    with recorder_in(tmp_path) as recorder:
        for index in range(30):
            if index in (10, 20):
                recorder.toggle()
            assert recorder.is_recording == (10 <= index < 20)
            recorder.write(make_frame(index))
    path = tmp_path / "streamdenoise-20260304-050607.mp4"
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([0.04 * n for n in range(10)], abs=1e-3)
    assert recorder.notes == (f"recorded {path}",)


def test_recordings_of_one_second_get_different_names(tmp_path: Path):
    with recorder_in(tmp_path) as recorder:
        for index in range(2):
            recorder.toggle()
            recorder.write(make_frame(index))
            recorder.toggle()
        recorder.toggle()
        recorder.write(make_frame(2))  # ended by leaving
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "streamdenoise-20260304-050607-2.mp4",
        "streamdenoise-20260304-050607-3.mp4",
        "streamdenoise-20260304-050607.mp4",
    ]


def test_a_recording_that_fails_is_a_note_and_the_stream_goes_on(tmp_path: Path):
    recorder = recorder_in(tmp_path / "missing")
    recorder.toggle()
    recorder.write(make_frame(0))
    recorder.write(make_frame(1))
    recorder.abort()
    assert not recorder.is_recording
    assert len(recorder.notes) == 1
    assert recorder.notes[0].startswith("recording ended: ")


def test_keys_change_view_strength_and_recording(tmp_path: Path):
    stopped: list[bool] = []
    with (
        Denoiser.load(backend="auto") as denoiser,
        recorder_in(tmp_path) as recorder,
    ):
        controls = LiveControls(denoiser, recorder, lambda: stopped.append(True))
        controls.press("s")
        assert controls.view is View.SPLIT
        controls.press("s")
        assert controls.view is View.CLEAN
        for _ in range(3):
            controls.press("+")
        controls.press("-")
        assert denoiser.strength == pytest.approx(1.2)
        for _ in range(50):
            controls.press("-")
        assert denoiser.strength == 0
        for _ in range(60):
            controls.press("+")
        assert denoiser.strength == 4
        controls.press("?")
        assert not stopped
        controls.press("q")
        assert stopped


def test_the_window_shows_the_view_the_figures_and_a_recording(tmp_path: Path):
    frame, stats = make_frame(0), Stats()
    with recorder_in(tmp_path) as recorder:
        # Only the keys use the denoiser.
        denoiser = cast(Denoiser, None)
        plain = LiveControls(denoiser, recorder, lambda: None, overlay=False)
        assert plain.render(frame, frame, stats) is frame
        side = LiveControls(denoiser, recorder, lambda: None, View.SIDE)
        assert side.render(frame, frame, stats).width == 128
        side.press("s")
        assert side.render(frame, frame, stats).width == 64
        recorder.toggle()
        shown = plain.render(frame, frame, stats)
        assert not np.array_equal(shown.planes[0], frame.planes[0])


def test_a_switch_thrown_before_the_job_begins_ends_it_at_once():
    switch = StopSwitch()
    switch.stop()
    assert switch.stopped
    config = LiveConfig("testsrc:64x48@25", ("null:",), window=False)
    assert denoise_live(config, switch=switch).frames_out == 0


def test_live_with_a_reference_measures_the_psnr():
    opened: list[StreamInfo] = []
    source = "testsrc:64x48@50"
    config = LiveConfig(
        source, ("null:",), window=False, duration_s=0.2, add_noise=20.0
    )
    stats = denoise_live(config, on_open=opened.append)
    assert opened[0].is_live
    assert not stats.psnr_is_estimate
    with pytest.raises(ConfigError, match="would show the video nowhere"):
        LiveConfig(source, window=False)
