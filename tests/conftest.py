"""Clips that tests share, made on the spot; and no thread may stay behind."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

# Before OpenCV, whose X11 libraries PyAV's grabbing of the screen does not survive.
# Machines for training and engines have no PyAV: what needs it fails there, alone.
with contextlib.suppress(ImportError):
    import av
    from av.codec.hwaccel import HWAccel, HWDeviceType

import cv2
import numpy as np
import pytest

from streamdenoise.inference.engine_folders import FOLDER_VARIABLE

WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 12
RATE = Fraction(30000, 1001)


REPORT = "report"
"""Name of the property of a test with text that is shown after the run."""


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
    """Neither the user's engines, nor those of earlier runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("engines")))
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
def no_thread_outlives_the_test() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2.0
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [each.name for each in set(threading.enumerate()) - before]
    if left:
        pytest.fail(f"threads outlive the test: {', '.join(sorted(left))}")


@dataclass(frozen=True)
class Clip:
    """A file on disk and what was put into it."""

    path: Path
    frames: tuple[tuple[np.ndarray, ...], ...]
    """Planes of each frame, as they went into the encoder."""
    pts: tuple[int, ...]
    time_base: Fraction


def moving_gradient(
    width: int, height: int, index: int, depth: int = 8
) -> tuple[np.ndarray, ...]:
    """Planes of a slanted gradient that moves two pixels a frame; large ones wrap."""
    x = np.arange(width) + 2 * index
    luma = (16 << (depth - 8)) + (x[None] + np.arange(height)[:, None]) * (
        1 << (depth - 8)
    )
    half = ((height + 1) // 2, (width + 1) // 2)
    middle = 128 << (depth - 8)
    dtype = np.uint8 if depth == 8 else np.uint16
    u = np.full(half, middle - 20 + index)
    v = np.full(half, middle + 20 - index)
    return tuple((plane % (1 << depth)).astype(dtype) for plane in (luma, u, v))


def picture_of(planes: tuple[np.ndarray, ...], pix_fmt: str) -> av.VideoFrame:
    """`planes` as an FFmpeg frame, filled byte by byte."""
    height, width = planes[0].shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, array in zip(frame.planes, planes, strict=True):
        rows = np.zeros((array.shape[0], plane.line_size), np.uint8)
        data = np.ascontiguousarray(array).view(np.uint8).reshape(array.shape[0], -1)
        rows[:, : data.shape[1]] = data
        plane.update(rows)
    return frame


def write_clip(
    path: Path,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    num_frames: int = NUM_FRAMES,
    pix_fmt: str = "yuv420p",
    codec: str = "ffv1",
    time_base: Fraction = Fraction(1, 1000),
    pts: Callable[[int], int] | None = None,
    prepare: Callable[[av.VideoStream], None] | None = None,
) -> Clip:
    """Encode a moving gradient; `pts` maps frame numbers to ticks of `time_base`."""
    depth = 10 if pix_fmt.endswith("10le") else 8
    stamps = pts or (lambda index: round(index / RATE / time_base))
    frames = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = stream.time_base = time_base
        if prepare is not None:
            prepare(stream)
        for index in range(num_frames):
            planes = moving_gradient(width, height, index, depth)
            if pix_fmt.startswith("gray"):
                planes = planes[:1]
            picture = picture_of(planes, pix_fmt)
            picture.pts, picture.time_base = stamps(index), time_base
            container.mux(stream.encode(picture))
            frames.append(planes)
        container.mux(stream.encode(None))
    return Clip(path, tuple(frames), tuple(map(stamps, range(num_frames))), time_base)


def tag_bt709(stream: av.VideoStream) -> None:
    """BT.709 in limited range: tags that the size of a small clip would not suggest."""
    context = stream.codec_context
    context.colorspace, context.color_range = 1, 1
    context.color_primaries, context.color_trc = 1, 1


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def clip(clips: Path) -> Clip:
    """64x48, 8 bits, lossless, 12 frames at 30000/1001 Hz, tagged BT.709."""
    return write_clip(clips / "clip.mkv", prepare=tag_bt709)


@pytest.fixture(scope="session")
def clip_10bit(clips: Path) -> Clip:
    """The same in 10 bits, tagged BT.2020 with PQ."""

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
    """Steps of 20, 33 and 47 ms in turn."""
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
            picture = picture_of(planes, "yuv420p")
            picture.pts, picture.time_base = index * 40, time_base
            container.mux(video.encode(picture))
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


def _chapter(number: int, start: int, end: int, title: str) -> dict:
    return {
        "id": number,
        "start": start,
        "end": end,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": title},
    }


def _subtitle(stream: av.stream.Stream, text: str, pts: int) -> av.Packet:
    packet = av.Packet(text.encode())
    packet.pts = packet.dts = pts
    packet.duration, packet.time_base = 400, Fraction(1, 1000)
    packet.stream = stream
    return packet


def skip_or_fail(what: str, reason: str) -> NoReturn:
    """End a test that needs `what`, which is not here.

    It fails where ``STREAMDENOISE_REQUIRE``, a list with commas, has that word.
    """
    if what in os.environ.get("STREAMDENOISE_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


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


def skip_or_fail_without_cuda(what: str) -> None:
    """The same where PyTorch, which holds the buffers of `what`, can use no GPU."""
    try:
        import torch
    except ImportError as exc:
        skip_or_fail(what, f"PyTorch is not installed: {exc}")
    if not torch.cuda.is_available():
        skip_or_fail(what, "PyTorch finds no NVIDIA GPU")


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
        picture = cv2.resize(texture, (200, 120))
        cv2.imwrite(str(tmp_path / "stills" / name), picture)
    (tmp_path / "stills" / "broken.png").write_bytes(b"no image")
    return tmp_path


def training_toml(
    data: Path, run: str, keys: str = "", stage: str = "", steps: int = 1
) -> Path:
    """A recipe for a tiny network, with more keys and keys of its one stage."""
    path = data / f"{run}.toml"
    path.write_text(
        f"""
        data = "{data}"
        val = "{data / "val"}"
        run = "{data / "runs" / run}"
        {keys}
        [model]
        name = "tiny"
        width = 8
        width_low = 8
        hidden = 4
        hidden_low = 4
        gate = 4
        [noise]
        kind = "awgn"
        [[stages]]
        steps = {steps}
        size = 32
        length = 4
        batch = 4
        {stage}
        """
    )
    return path
