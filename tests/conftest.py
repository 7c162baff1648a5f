"""Fixtures that tests share; no test may leave a thread behind."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.clips import (
    HEIGHT,
    WIDTH,
    Clip,
    moving_gradient,
    tag_bt709,
    video_frame,
    write_clip,
)
from tests.support.skips import skip_or_fail, skip_or_fail_without_cuda

# Before OpenCV, whose X11 libraries PyAV's grabbing of the screen does not survive.
# Machines for training and engines have no PyAV: what needs it fails there, alone.
with contextlib.suppress(ImportError):
    import av
    from av.codec.hwaccel import HWAccel, HWDeviceType

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from av.container.core import Chapter
    from av.stream import Stream

from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.kernels.code_cache import FOLDER_VARIABLE as KERNELS_FOLDER
from streamdenoise.kernels.compiled import why_not
from streamdenoise.kernels.every import KERNELS

# Shells let jobs in the background ignore these, and so would the tests' children.
for _name in ("SIGINT", "SIGHUP"):
    _signum = getattr(signal, _name, None)
    if _signum is not None and signal.getsignal(_signum) is signal.SIG_IGN:
        signal.signal(_signum, signal.SIG_DFL)

# The same examples each time, however slow the machine is.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

REPORT = "report"
"""Name of the property of a test with text that is shown after the run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    # What was imported stays: full collections, which sources ask for whenever they
    # reconnect, need not visit it.
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for outcome in ("passed", "failed"):
        for result in terminalreporter.getreports(outcome):
            for name, text in result.user_properties:
                if name == REPORT:
                    terminalreporter.write_line(str(text))


@pytest.fixture(autouse=True, scope="session")
def engines_of_the_tests_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Use neither the user's engines nor those of earlier runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("engines")))
        yield


@pytest.fixture(autouse=True, scope="session")
def kernels_are_compiled_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """All workers share one cache of compiled code, which is not the user's.

    They fill it together before the first test: none should wait for the compiler, or
    find in its output that it did.
    """
    shared = tmp_path_factory.getbasetemp().parent / "kernels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KERNELS_FOLDER, str(shared))
        why_not(KERNELS)
        yield


@pytest.fixture(autouse=True, scope="session")
def networks_are_compiled_once() -> Iterator[None]:
    """See `compile_once`; machines for training and engines may lack OpenVINO."""
    with pytest.MonkeyPatch.context() as patch:
        with contextlib.suppress(ImportError):
            from tests.support.compiled_once import compile_once

            compile_once(patch)
        yield


@pytest.fixture(autouse=True)
def no_test_changes_the_log_of_the_next() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_test_changes_the_scheduling() -> Iterator[None]:
    """No library may leave this thread real-time, see `unchanged_priority`."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0)
    yield
    if os.sched_getscheduler(0) != before:
        os.sched_setscheduler(0, before, os.sched_param(0))
        pytest.fail("this thread was left with real-time priority")


@pytest.fixture(autouse=True)
def no_thread_outlives_the_test() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2.0
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [each.name for each in set(threading.enumerate()) - before]
    if left:
        pytest.fail(f"threads outlive the test: {', '.join(sorted(left))}")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def clip(clips: Path) -> Clip:
    """64x48, 8 bits, lossless, 12 frames at 30000/1001 Hz, tagged BT.709."""
    return write_clip(clips / "clip.mkv", prepare=tag_bt709)


@pytest.fixture(scope="session")
def clip_10bit(clips: Path) -> Clip:
    """`clip` in 10 bits, tagged BT.2020 with PQ."""

    def tag(stream: av.VideoStream) -> None:
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, 16

    return write_clip(clips / "clip10.mkv", pix_fmt="yuv420p10le", prepare=tag)


@pytest.fixture(scope="session")
def odd_clip(clips: Path) -> Clip:
    """65x47: neither side is even."""
    return write_clip(clips / "odd.mkv", width=65, height=47)


@pytest.fixture(scope="session")
def vfr_clip(clips: Path) -> Clip:
    """A clip with alternating steps of 20, 33 and 47 ms."""
    stamps = np.concatenate([[0], np.cumsum([20, 33, 47] * 4)]).tolist()
    return write_clip(clips / "vfr.mkv", pts=lambda index: stamps[index])


@pytest.fixture(scope="session")
def rich_clip(clips: Path) -> Clip:
    """2 s with AAC sound, SRT subtitles, chapters, an attachment, tags, rotation."""
    path = clips / "rich.mkv"
    time_base, num_frames = Fraction(1, 1000), 50
    frames, stamps = [], []
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A street at night"
        container.metadata["comment"] = "for tests"
        video = container.add_stream(
            "libx264", rate=25, options={"crf": "10", "g": "10"}
        )
        video.width, video.height = WIDTH, HEIGHT
        video.codec_context.time_base = video.time_base = time_base
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        video.set_display_rotation(90)
        video.metadata["title"] = "Camera 1"
        tag_bt709(video)
        audio = container.add_stream("aac", rate=48000)
        audio.metadata["language"] = "deu"
        subtitles = container.add_mux_stream("subrip")
        subtitles.time_base = time_base
        subtitles.metadata["language"] = "fra"
        container.add_attachment("font.ttf", "font/ttf", b"not really a font")
        container.set_chapters(
            [
                _chapter(1, 0, 1000, "Dusk"),
                _chapter(2, 1000, 2000, "Night"),
            ]
        )
        rng = np.random.default_rng(7)
        for index in range(num_frames):
            planes = moving_gradient(WIDTH, HEIGHT, index)
            frame = video_frame(planes, "yuv420p")
            frame.pts, frame.time_base = index * 40, time_base
            container.mux(video.encode(frame))
            noise = rng.uniform(-0.3, 0.3, (2, 1920)).astype(np.float32)
            sound = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
            sound.sample_rate = 48000
            sound.pts, sound.time_base = index * 1920, Fraction(1, 48000)
            container.mux(audio.encode(sound))
            if index in (5, 30):
                container.mux(_subtitle(subtitles, f"Ligne {index}: é", index * 40))
            frames.append(planes)
            stamps.append(index * 40)
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return Clip(path, tuple(frames), tuple(stamps), time_base)


def _chapter(number: int, start: int, end: int, title: str) -> Chapter:
    return {
        "id": number,
        "start": start,
        "end": end,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


def _subtitle(stream: Stream, text: str, pts: int) -> av.Packet:
    packet = av.Packet(text.encode())
    packet.pts = packet.dts = pts
    packet.duration, packet.time_base = 400, Fraction(1, 1000)
    packet.stream = stream
    return packet


@pytest.fixture(params=["PATH", "imageio-ffmpeg"])
def srt_through(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Run the test with the installed ffmpeg and with imageio-ffmpeg's, for SRT."""
    # Imported here: it needs PyAV, which machines for training lack.
    from streamdenoise.io.ffmpeg.program import ffmpeg_with

    installed = shutil.which("ffmpeg")
    if request.param == "imageio-ffmpeg":
        monkeypatch.setenv("PATH", str(tmp_path))
    ffmpeg_with.cache_clear()
    program = ffmpeg_with("srt")
    if program is None or (program == installed) != (request.param == "PATH"):
        ffmpeg_with.cache_clear()
        skip_or_fail("ffmpeg", f"there is no ffmpeg with srt from {request.param}")
    yield
    ffmpeg_with.cache_clear()


@pytest.fixture(scope="session")
def nvdec() -> None:
    """For tests of NVDEC: there is an NVIDIA GPU with its driver."""
    try:
        av.CodecContext.create("h264", "r", HWAccel(HWDeviceType.cuda))
    except OSError as exc:
        skip_or_fail("nvdec", f"no NVIDIA GPU and driver found: {exc}")


@pytest.fixture(scope="session")
def cuda() -> None:
    """For tests of engines on GPUs: PyTorch can use one."""
    skip_or_fail_without_cuda("cuda")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A tiny training set: a lossless moving clip, two stills, one broken file."""
    rng = np.random.default_rng(0)
    (tmp_path / "video").mkdir()
    (tmp_path / "stills").mkdir()
    (tmp_path / "val").mkdir()
    texture = cv2.GaussianBlur(
        rng.integers(0, 255, (64, 160, 3)).astype(np.uint8), (5, 5), 1
    )
    for folder in ("video", "val"):
        fourcc = cv2.VideoWriter.fourcc(*"FFV1")
        writer = cv2.VideoWriter(str(tmp_path / folder / "a.mkv"), fourcc, 25, (64, 64))
        for t in range(12):
            writer.write(texture[:, 4 * t : 4 * t + 64])
        writer.release()
    for name in ("b.png", "c.png"):
        image = cv2.resize(texture, (200, 120))
        cv2.imwrite(str(tmp_path / "stills" / name), image)
    (tmp_path / "stills" / "broken.png").write_bytes(b"no image")
    return tmp_path
