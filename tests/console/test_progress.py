"""Progress: a bar on a terminal, a line every half minute in a log."""

import io

import pytest

from streamdenoise.console.progress import Progress, stats_fields, summary
from streamdenoise.frame import StreamInfo
from streamdenoise.pipeline.stats import Stats
from tests.support.clock import Clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def info(num_frames: int | None) -> StreamInfo:
    return StreamInfo(64, 48, "yuv420p", num_frames=num_frames)


def test_a_terminal_gets_one_line_that_is_redrawn_and_removed():
    stream = Terminal()
    with Progress(stream=stream) as progress:
        progress.opened(info(400))
        for done in (100, 200):
            progress.update(Stats(frames_out=done, fps_out=20.0))
    assert "\n" not in stream.getvalue()
    first, second, *_ = stream.getvalue().split("\r")[1:]
    assert first.startswith("[######..................]  25%  100/400  20.0 fps  ETA 0")
    assert "200/400" in second
    assert second.rstrip().endswith("ETA 0:10")
    assert stream.getvalue().endswith(" \r")


def test_a_log_gets_a_line_every_half_minute():
    stream, clock = io.StringIO(), Clock(0.0)
    progress = Progress(stream=stream, clock=clock)
    progress.opened(info(None))
    for second in range(100):
        clock.now = float(second)
        progress.update(Stats(frames_out=second * 10, fps_out=10.0))
    assert stream.getvalue() == (
        "300 frames  10.0 fps\n600 frames  10.0 fps\n900 frames  10.0 fps\n"
    )


def test_quiet_shows_nothing():
    stream = Terminal()
    with Progress(quiet=True, stream=stream) as progress:
        progress.update(Stats())
    assert stream.getvalue() == ""


def test_a_live_stream_shows_its_stats():
    stats = Stats(drops={"writing": 3})
    assert "dropped 3" in Progress(live=True).line(stats)


@pytest.mark.parametrize(
    ("left", "text"), [(59, "0:59"), (61, "1:01"), (3661, "1:01:01")]
)
def test_the_format_of_the_remaining_time(left: int, text: str):
    progress = Progress()
    progress.opened(info(left + 1))
    line = progress.line(Stats(frames_out=1, fps_out=1.0))
    assert line.endswith(f"ETA {text}")


def test_the_summary_says_whether_the_gain_is_measured():
    stats = Stats(
        frames_out=90,
        elapsed_s=3.0,
        noise_levels=(3.2, 7.1, 5, 4, 9, 4, 4),
        psnr_in_db=20.1,
        psnr_out_db=31.35,
    )
    assert summary("a.mp4", stats) == (
        "a.mp4: 90 frames, 30.0 fps, noise: fine 3, coarse 7, color 9, est. PSNR 20 -> "
        "30 to 33 dB"
    )
    fields = stats_fields(stats)
    assert fields["noise_levels"] == [3.2, 7.1, 5, 4, 9, 4, 4]
    stats.psnr_is_estimate, stats.drops = False, {"writing": 4}
    assert ", dropped 4, PSNR 20.10 -> 31.35 dB (+11.25)" in summary("a.mp4", stats)
    assert summary("b", Stats()) == "b: 0 frames, 0.0 fps, noise 0"


def test_a_full_disk_under_stderr_does_not_end_the_job():
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    clock = Clock(0.0)
    with Progress(stream=Full(), clock=clock) as progress:
        clock.now = 31.0
        progress.update(Stats())
