"""Keys and recordings of the live job, without a window."""

import socket
import time
import urllib.request
from contextlib import ExitStack
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import ConfigError
from streamdenoise.frame import StreamInfo
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.io.options import Reconnect
from streamdenoise.jobs.config import LiveConfig, View
from streamdenoise.jobs.job import StopSwitch
from streamdenoise.jobs.live import denoise_live
from streamdenoise.jobs.live_controls import LiveControls
from streamdenoise.jobs.recorder import Recorder, recording_names
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair
from tests.faults.servers import free_port
from tests.support.frames import make_frame

INFO = StreamInfo(64, 48, "yuv420p", Fraction(25), Fraction(1, 1000))


def recorder_in(folder: Path) -> Recorder:
    names = recording_names(folder)
    return Recorder(INFO, names=names, now=lambda: datetime(2026, 3, 4, 5, 6, 7))


def test_a_recording_has_the_frames_while_it_was_on_from_time_zero(tmp_path: Path):
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


def test_a_recording_says_how_many_frames_it_lacks(tmp_path: Path):
    with recorder_in(tmp_path) as recorder:
        recorder.write(make_frame(0))
        recorder.toggle()
        for index in (5, 6, 9, 9, 10, 12):  # one is repeated
            recorder.write(make_frame(index))
        recorder.toggle()
        assert recorder.missing == 3
    assert recorder.notes[0].endswith(".mp4; 3 frames were not written")


def test_recordings_of_the_same_second_get_different_names(tmp_path: Path):
    with recorder_in(tmp_path) as recorder:
        for index in range(2):
            recorder.toggle()
            recorder.write(make_frame(index))
            recorder.toggle()
        recorder.toggle()
        recorder.write(make_frame(2))  # ended by leaving
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "streamdenoise-20260304-050607-n2.mp4",
        "streamdenoise-20260304-050607-n3.mp4",
        "streamdenoise-20260304-050607.mp4",
    ]


def test_a_recording_that_fails_is_a_note_and_the_stream_continues(tmp_path: Path):
    (tmp_path / "file").touch()
    recorder = recorder_in(tmp_path / "file")
    recorder.toggle()
    recorder.write(make_frame(0))
    recorder.write(make_frame(1))
    recorder.abort()
    assert not recorder.is_recording
    assert recorder.failures == len(recorder.notes) == 1
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
    pair = FramePair(frame, frame)
    with recorder_in(tmp_path) as recorder:
        # Only the keys use the denoiser.
        denoiser = cast(Denoiser, None)
        plain = LiveControls(denoiser, recorder, lambda: None, overlay=False)
        assert plain.render(pair, stats) is frame
        side = LiveControls(denoiser, recorder, lambda: None, View.SIDE)
        assert side.render(pair, stats).width == 128
        side.press("s")
        assert side.render(pair, stats).width == 64
        recorder.toggle()
        shown = plain.render(pair, stats)
        assert not np.array_equal(shown.planes[0], frame.planes[0])


def test_a_stop_before_the_job_starts_ends_it_at_once():
    switch = StopSwitch()
    switch.stop()
    assert switch.is_stopped()
    config = LiveConfig("testsrc:64x48@25", ("null:",), window=False)
    assert denoise_live(config, switch=switch).frames_out == 0


def test_outputs_that_never_answer_delay_neither_start_nor_stop():
    begin = time.monotonic()
    stopped_at: list[float] = []
    switch = StopSwitch()

    def stop_when_it_runs(stats: Stats) -> None:
        working = stats.outputs[-1] if stats.outputs else None
        if working is not None and working.frames > 5 and not stopped_at:
            stopped_at.append(time.monotonic())
            switch.stop()

    with ExitStack() as stack:
        urls = []
        for _ in range(3):
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            urls.append(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/a")
        config = LiveConfig(
            "testsrc:64x48@25",
            (*urls, "null:"),
            window=False,
            reconnect=Reconnect.parse("forever"),
        )
        stats = denoise_live(config, on_stats=stop_when_it_runs, switch=switch)
    assert time.monotonic() - stopped_at[0] < 2.0
    assert stopped_at[0] - begin < 20.0  # each is waited for 10 s
    assert [output.frames for output in stats.outputs[:3]] == [0, 0, 0]


def test_live_with_a_reference_measures_the_psnr():
    opened: list[StreamInfo] = []
    source = "testsrc:64x48@50"
    config = LiveConfig(
        source, ("null:",), window=False, duration_s=0.2, add_noise=AddedNoise(20.0)
    )
    stats = denoise_live(config, on_open=opened.append)
    assert opened[0].is_live
    assert not stats.psnr_is_estimate
    with pytest.raises(ConfigError, match="would show the video nowhere"):
        LiveConfig(source, window=False)


def test_segments_and_a_status_page_of_a_live_job(tmp_path: Path):
    pages: list[bytes] = []
    status = f"127.0.0.1:{free_port()}"
    config = LiveConfig(
        "testsrc:64x48@25",
        (str(tmp_path / "a-%H-%M-%S.mkv"), "null:"),
        window=False,
        duration_s=2.5,
        segment_s=1.0,
        keep=("1h", "1GB"),
        overflow=Overflow.BLOCK,  # no frame is dropped, however busy the machine
        status=status,
    )

    def look(stats: Stats) -> None:
        if stats.frames_out > 10 and not pages:
            for page in ("metrics", "healthz", "status"):
                with urllib.request.urlopen(f"http://{status}/{page}") as answer:
                    pages.append(answer.read())

    stats = denoise_live(config, on_stats=look)
    assert b"streamdenoise_" in pages[0]
    assert pages[1] == b"ok\n"
    assert [output.name for output in stats.outputs] == [*config.outputs]
    counts = []
    for path in sorted(tmp_path.glob("a-*.mkv")):
        with av.open(str(path)) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    assert len(counts) == 3
    assert sum(counts) == stats.frames_out


def test_a_job_with_max_lag_runs_at_full_quality_while_it_keeps_up():
    config = LiveConfig(
        "testsrc:64x48@25", ("null:",), window=False, duration_s=0.5, max_lag_ms=500
    )
    stats = denoise_live(config)
    assert stats.load_step == ""
    assert stats.frames_out > 0


@pytest.mark.parametrize(
    ("outputs", "options", "why"),
    [
        (("a-%H.mkv",), {}, "add --segment 10m"),
        (("a.mkv",), {"segment_s": 600.0}, "needs an output with the time"),
        (("null:",), {"keep": ("7d",)}, "--keep applies to recordings in segments"),
        (("a-%H.mkv",), {"segment_s": 0.5}, "--segment 0.5 is too short"),
        (("a-%H.mkv",), {"segment_s": 9.0, "keep": ("lots",)}, "lots"),
        (("null:",), {"max_lag_ms": 1.0}, "--max-lag 1 cannot be used"),
        (("null:",), {"timeout_s": 0.0}, "--timeout 0 cannot be used"),
        (("null:",), {"status": "nowhere"}, "nowhere"),
        (("null:",), {"status_hosts": ("box",)}, "add --status HOST:PORT"),
        (("null:",), {"status": ":0", "status_hosts": ("a:80",)}, "a name or an addr"),
        (("null:",), {"credentials_file": "/none"}, "--credentials-file /none"),
    ],
)
def test_options_that_do_not_fit(
    outputs: tuple[str, ...], options: dict[str, Any], why: str
):
    with pytest.raises(ConfigError, match=why):
        denoise_live(LiveConfig("testsrc:64x48@25", outputs, window=False, **options))


@pytest.mark.parametrize(
    ("asked", "max_lag_ms", "model"),
    [
        ("auto", None, "pico"),
        ("auto", 60_000, "pico"),
        ("nano", None, "nano"),
        ("nano-awgn", 60_000, "nano-awgn"),
    ],
)
def test_frames_that_come_too_fast_get_a_smaller_model(
    asked: str, max_lag_ms: float | None, model: str
) -> None:
    stats = denoise_live(
        LiveConfig(
            "testsrc:320x240@1000",
            ("null:",),
            DenoiseConfig(threads=1, sigma=10, model=asked),
            window=False,
            duration_s=0.005,
            max_lag_ms=max_lag_ms,
        )
    )
    assert f"{model} on openvino" in stats.notes
