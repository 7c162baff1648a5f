"""The times of stages: what is charged to which, and nothing while nobody measures."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamdenoise.stage_times import (
    StageTimes,
    Work,
    measure,
    timed,
    timed_items,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="reads the clocks of Linux"
)


@pytest.fixture
def times() -> Iterator[StageTimes]:
    found = StageTimes(skip=1)
    measure(found)
    yield found
    measure(None)


def burn(ms: float) -> None:
    end = time.thread_time() + ms / 1e3
    while time.thread_time() < end:
        pass


def test_a_stage_inside_another_interrupts_it(times: StageTimes) -> None:
    for _ in range(3):
        with timed(Work.DENOISE):
            burn(4)
            with timed(Work.STEP):
                burn(8)
                with timed(Work.BLOCKS):
                    burn(2)
    result = times.result()
    found = {each.stage: each for each in result.stages}
    assert result.frames == 2
    assert 4 <= found["rest of the denoiser"].cpu_ms < 8
    assert 8 <= found["step"].cpu_ms < 14
    assert 2 <= found["blocks"].cpu_ms < 8
    # The clocks are read one after the other, and differ a little.
    assert sum(each.cpu_ms for each in result.stages) <= 1.05 * result.cpu_ms
    assert all(each.wall_ms >= 0.9 * each.cpu_ms for each in result.stages)


def test_threads_have_stages_of_their_own(times: StageTimes) -> None:
    stop = threading.Event()

    def decode() -> None:
        while not stop.is_set():
            with timed(Work.DECODE):
                burn(1)

    reader = threading.Thread(target=decode, name="decode")
    reader.start()
    for _ in range(4):
        with timed(Work.DENOISE):
            burn(3)
    stop.set()
    reader.join()
    by_thread = {(each.thread, each.stage): each for each in times.result().stages}
    assert by_thread["decode", "decode"].cpu_ms > 0
    assert 3 <= by_thread["MainThread", "rest of the denoiser"].cpu_ms < 6


def test_the_end_of_a_thread_ends_the_measurement(times: StageTimes) -> None:
    has_begun, go_on = threading.Event(), threading.Event()

    def decode() -> None:
        with timed(Work.DECODE):
            has_begun.set()
            go_on.wait()

    reader = threading.Thread(target=decode)
    reader.start()
    assert has_begun.wait(20)
    for frame in range(6):
        if frame == 3:
            go_on.set()
            reader.join()
            # For Python it ends a moment before it does for the system.
            wait_until(lambda: not Path(f"/proc/self/task/{reader.native_id}").exists())
        with timed(Work.DENOISE):
            pass
    assert times.result().frames == 2


def test_libraries_threads_belong_to_the_stage_that_starts_them() -> None:
    """x264's threads are the encoder's, whatever its caller does meanwhile."""
    script = """
import av, numpy as np, time
from streamdenoise.stage_times import *
times = StageTimes(skip=2)
measure(times)
out = av.open("null", "w", format="null")
stream = out.add_stream("libx264", rate=25, options={"preset": "medium"})
stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
stream.codec_context.thread_count = 2
pixels = np.random.default_rng(0).integers(0, 255, (360, 320), dtype=np.uint8)
for pts in range(60):
    frame = av.VideoFrame.from_ndarray(pixels, "yuv420p")
    frame.pts = pts
    with timed(Work.ENCODE):
        stream.encode(frame)
    with timed(Work.DENOISE):
        pass
result = times.result()
found = {each.stage: each.cpu_ms for each in result.stages}
print(found["encode"] / result.cpu_ms, found["rest of the denoiser"] / result.cpu_ms)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        # NumPy's threads spin for a while when they start.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    encode, rest = map(float, done.stdout.split())
    assert 0.7 < encode <= 1
    assert rest < 0.2


def test_nothing_is_measured_unless_somebody_asks() -> None:
    with timed(Work.STEP), timed(Work.STEP):
        pass
    assert list(timed_items(Work.DEMUX, iter("ab"))) == ["a", "b"]
    assert StageTimes(skip=1).result().frames == 0
