"""The contract of sinks, for each kind of sink."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from streamdenoise.errors import ConfigError, SinkError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import EncoderConfig, ReadOptions
from streamdenoise.io.protocols import Sink
from streamdenoise.io.sinks.null import NullSink
from streamdenoise.io.sinks.y4m import Y4MSink
from streamdenoise.io.sources.y4m import Y4MSource
from tests.support.clips import Clip, write_clip
from tests.support.command import environment

FAST = {
    "x264": EncoderConfig("x264", preset="ultrafast"),
    "x265": EncoderConfig("x265", preset="ultrafast"),
    "svtav1": EncoderConfig("svtav1", preset="12"),
    "ffv1": EncoderConfig("ffv1"),
}


def read(path: Path) -> tuple[StreamInfo, list[Frame]]:
    with open_source(str(path)) as source:
        return source.info, list(source)


def write(path: Path, info: StreamInfo, frames: list[Frame], **options: Any) -> Sink:
    """Write `frames` to `path`, and return the closed sink."""
    with open_sink(str(path), info, **options) as sink:
        for frame in frames:
            sink.write(frame)
    return sink


@pytest.fixture
def stream(clip: Clip) -> tuple[StreamInfo, list[Frame]]:
    return read(clip.path)


TARGETS = [
    ("out.mp4", "x264"),
    ("out.m4v", "x264"),
    ("out.mov", "x265"),
    ("out.mkv", "ffv1"),
    ("out.mkv", "svtav1"),
    ("out.webm", "svtav1"),
    ("out.avi", "x264"),
    ("out.ts", "x264"),
    ("out.y4m", None),
    ("images/", None),
    ("images/%03d.png", None),
    ("null:", None),
]


@pytest.fixture(params=TARGETS, ids=[f"{name}-{codec}" for name, codec in TARGETS])
def make(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[str, Callable[..., Sink]]:
    name, codec = request.param
    (tmp_path / "images").mkdir()
    target = name if name == "null:" else f"{tmp_path}/{name}"
    encoder = FAST[codec] if codec else None
    return target, lambda info, **k: open_sink(target, info, encoder=encoder, **k)


def test_frames_come_back_from_the_file(
    make: tuple[str, Callable[..., Sink]], stream: tuple[StreamInfo, list[Frame]]
) -> None:
    target, opened = make
    info, frames = stream
    with opened(info) as sink:
        assert isinstance(sink, Sink)
        for frame in frames:
            sink.write(frame)
    sink.close()
    sink.abort()
    assert sink.notes == ()
    if isinstance(sink, NullSink):
        assert sink.frames == len(frames)
        return
    path = Path(target)
    if path.name in ("images", "%03d.png"):
        path = path if path.is_dir() else path.parent
    leftovers = [each.name for each in path.parent.iterdir() if ".part" in each.name]
    assert leftovers == []
    with open_source(str(path)) as source:
        again = list(source)
    assert len(again) == len(frames)
    if path.is_dir():
        return
    assert (source.info.width, source.info.height) == (info.width, info.height)
    if path.suffix == ".y4m":
        assert source.info.frame_rate == info.frame_rate
        assert source.info.color.range == info.color.range
        return
    if path.suffix != ".avi":  # AVI can store tags only in the codec
        assert source.info.color == info.color
    # Transport streams start late by design; FFmpeg reads H.264 in AVI a frame late.
    zero = again[0].time_s if path.suffix in (".ts", ".avi") else 0.0
    times = [frame.time_s - zero for frame in again]
    assert times == pytest.approx([frame.time_s for frame in frames], abs=1e-3)


def test_write_after_close(
    make: tuple[str, Callable[..., Sink]], stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    sink = make[1](info)
    sink.write(frames[0])
    sink.close()
    if not isinstance(sink, NullSink):
        with pytest.raises(ValueError, match="closed"):
            sink.write(frames[1])


def test_without_frames_there_is_no_file(
    make: tuple[str, Callable[..., Sink]], stream: tuple[StreamInfo, list[Frame]]
) -> None:
    target, opened = make
    with opened(stream[0]):
        pass
    folder = Path(target).parent if target != "null:" else Path()
    assert not [each for each in folder.glob("out*")]


@pytest.mark.parametrize("count", [240, 241, 242, 243])
def test_the_last_frame_is_shown_wherever_a_fragment_begins(
    tmp_path: Path, count: int
) -> None:
    """At 30 Hz, fragments begin at 60, 120...: here between a frame and B-frames."""
    path = tmp_path / "out.mp4"
    with (
        open_source("testsrc:64x48@30", ReadOptions(duration_s=count / 30)) as source,
        open_sink(str(path), source.info) as sink,
    ):
        for frame in source:
            sink.write(frame)
    assert len(read(path)[1]) == count


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.y4m"])
def test_a_failure_leaves_a_playable_file_without_the_final_name(
    name: str, tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    path = tmp_path / name
    sink = open_sink(str(path), info)

    def fail() -> None:
        with sink:
            for frame in frames[:7]:
                sink.write(frame)
            raise RuntimeError("the denoiser failed")

    with pytest.raises(RuntimeError, match="the denoiser failed"):
        fail()
    assert not path.exists()
    assert len(read(tmp_path / f"out.part{path.suffix}")[1]) == 7


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m"])
def test_a_recording_is_whole_whenever_it_ends(
    name: str, tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    sink = open_sink(str(tmp_path / name), replace(info, is_live=True))
    sink.write(frames[0])
    sink.abort()
    assert len(read(tmp_path / name)[1]) == 1


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m"])
def test_a_failure_never_replaces_an_older_file(
    name: str, tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    path = tmp_path / name
    path.write_bytes(b"the good one")
    sink = open_sink(str(path), info, overwrite=True)
    sink.write(frames[0])
    sink.abort()
    assert path.read_bytes() == b"the good one"
    assert len(read(tmp_path / f"out.part{path.suffix}")[1]) == 1


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m", "out.png"])
def test_overwrite(
    name: str, tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    path = tmp_path / name
    path.write_bytes(b"old")
    with open_sink(str(path), info, overwrite=True) as sink:
        assert path.read_bytes() == b"old"
        sink.write(frames[0])
    assert len(read(path)[1]) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_created_meanwhile_is_not_replaced(
    tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    path = tmp_path / "out.mp4"
    sink = open_sink(str(path), info)
    sink.write(frames[0])
    path.write_bytes(b"another program's")
    with pytest.raises(SinkError, match=r"by another program.*out\.part\.mp4"):
        sink.close()
    assert path.read_bytes() == b"another program's"


def test_files_left_by_a_crash_are_not_overwritten(
    tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    (tmp_path / "out.part.mp4").write_bytes(b"from a crash")
    with open_sink(str(tmp_path / "out.mp4"), stream[0]) as sink:
        sink.write(stream[1][0])
    assert (tmp_path / "out.part.mp4").read_bytes() == b"from a crash"
    assert len(read(tmp_path / "out.mp4")[1]) == 1


@pytest.mark.parametrize("name", ["out.mp4", "out.y4m"])
def test_a_frame_of_another_size_is_rejected(
    name: str, tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    with (
        open_sink(str(tmp_path / name), replace(info, width=66)) as sink,
        pytest.raises(ValueError, match="frame must be 66x48 yuv420p, got 64x48"),
    ):
        sink.write(frames[0])


@pytest.mark.parametrize(("codec", "size"), [("x264", (66, 48)), ("ffv1", (65, 47))])
def test_odd_sizes(odd_clip: Clip, tmp_path: Path, codec: str, size: tuple) -> None:
    info, frames = read(odd_clip.path)
    sink = write(tmp_path / "o.mkv", info, frames, encoder=FAST[codec])
    after, again = read(tmp_path / "o.mkv")
    assert (after.width, after.height) == size
    assert [frame.pts for frame in again] == [frame.pts for frame in frames]
    assert bool(sink.notes) == (codec == "x264")
    error = np.abs(again[5].planes[0][:47, :65].astype(int) - frames[5].planes[0])
    assert error.mean() < 3


@pytest.mark.parametrize("codec", list(FAST))
@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "rgb24", "yuv420p10le"])
def test_every_format_in_every_codec(
    clip: Clip, tmp_path: Path, codec: str, pix_fmt: str
) -> None:
    with open_source(str(clip.path), ReadOptions(pix_fmt=pix_fmt)) as source:
        info, frames = source.info, list(source)
    write(tmp_path / "o.mkv", info, frames, encoder=FAST[codec])
    with open_source(str(tmp_path / "o.mkv"), ReadOptions(pix_fmt=pix_fmt)) as source:
        again = list(source)
    assert len(again) == len(frames)
    scale = 4 if pix_fmt.endswith("10le") else 1
    error = np.abs(again[4].planes[0].astype(int) - frames[4].planes[0]).mean() / scale
    assert error < (0.5 if codec == "ffv1" else 6)
    if codec == "ffv1":
        np.testing.assert_array_equal(again[4].planes[0], frames[4].planes[0])


def test_y4m_pipe_keeps_the_header(tmp_path: Path) -> None:
    header = b"YUV4MPEG2 W4 H2 F30000:1001 It A4:3 C420mpeg2 XCOLORRANGE=LIMITED\n"
    body = (b"FRAME\n" + bytes(range(12))) * 3
    (tmp_path / "in").write_bytes(header + body)
    read_end, write_end = os.pipe()
    with Y4MSource((tmp_path / "in").open("rb"), "stdin", ReadOptions()) as source:
        assert source.info.sample_aspect == Fraction(4, 3)
        assert "interlaced" in source.info.notes[0]
        with Y4MSink(write_end, source.info, "stdout") as sink:
            for frame in source:
                sink.write(frame)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as reader:
        assert reader.read() == header + body


def test_y4m_through_ffmpeg(clip: Clip, tmp_path: Path) -> None:
    """FFmpeg reads what we write, and we read what FFmpeg writes."""
    info, frames = read(clip.path)
    write(tmp_path / "a.y4m", info, frames)
    with av.open(str(tmp_path / "a.y4m")) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
        luma = [frame.to_ndarray()[:48] for frame in container.decode(video=0)]
    with Y4MSource((tmp_path / "a.y4m").open("rb"), "stdin", ReadOptions()) as source:
        for ours, theirs, frame in zip(source, luma, frames, strict=True):
            np.testing.assert_array_equal(ours.planes[0], frame.planes[0])
            np.testing.assert_array_equal(theirs, frame.planes[0])


def test_y4m_pipe_through_processes(clip: Clip, tmp_path: Path) -> None:
    info, frames = read(clip.path)
    write(tmp_path / "a.y4m", info, frames)
    data = (tmp_path / "a.y4m").read_bytes()
    script = (
        "from streamdenoise.io import open_sink, open_source\n"
        "with open_source('-') as source, open_sink('-', source.info) as sink:\n"
        "    for frame in source: sink.write(frame)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=data,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_y4m_notes_lost_timestamps(vfr_clip: Clip, tmp_path: Path) -> None:
    info, frames = read(vfr_clip.path)
    sink = write(tmp_path / "a.y4m", info, frames)
    assert "has no timestamps" in sink.notes[0]


def test_folder_sink_keeps_the_names(tmp_path: Path) -> None:
    source_folder = tmp_path / "in"
    source_folder.mkdir()
    for index, name in enumerate(("b.png", "a10.jpg", "a9.webp")):
        cv2.imwrite(str(source_folder / name), np.full((6 + index, 8, 3), 90, np.uint8))
    (tmp_path / "out").mkdir()
    with (
        open_source(str(source_folder)) as source,
        open_sink(
            str(tmp_path / "out"), source.info, names_from=str(source_folder)
        ) as sink,
    ):
        sizes = []
        for frame in source:
            sizes.append(frame.height)
            sink.write(frame)
    assert sizes == [8, 7, 6]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a10.jpg", "a9.webp", "b.png"]
    image = cv2.imread(str(tmp_path / "out" / "a10.jpg"))
    assert image is not None
    assert image.shape == (7, 8, 3)
    with (
        open_source(str(source_folder)) as source,
        pytest.raises(SinkError, match="already exists"),
    ):
        open_sink(str(tmp_path / "out"), source.info, names_from=str(source_folder))


def test_an_image_holds_one_frame(
    tmp_path: Path, stream: tuple[StreamInfo, list[Frame]]
) -> None:
    info, frames = stream
    with open_sink(str(tmp_path / "one.png"), info) as sink:
        sink.write(frames[0])
        with pytest.raises(SinkError, match="can hold one image"):
            sink.write(frames[1])
    assert len(read(tmp_path / "one.png")[1]) == 1


def test_png_is_lossless(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (5, 7, 3), np.uint8)
    color = ColorInfo(0, 2)
    frame = Frame((rgb,), "rgb24", color, 0, Fraction(1), 0, 0.0)
    with open_sink(str(tmp_path / "a.png"), StreamInfo(7, 5, "rgb24")) as sink:
        sink.write(frame)
    np.testing.assert_array_equal(read(tmp_path / "a.png")[1][0].planes[0], rgb)


def test_publishing_needs_a_server_and_a_codec(
    stream: tuple[StreamInfo, list[Frame]],
) -> None:
    info, _ = stream
    with pytest.raises(SinkError, match="connection refused; check that") as caught:
        open_sink("rtsp://me:secret@127.0.0.1:9/x", info)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="use --codec x264"):
        open_sink("rtsp://127.0.0.1:9/x", info, encoder=FAST["ffv1"])
    with pytest.raises(ConfigError, match="use rtsp://, rtmp://"):
        open_sink("http://127.0.0.1:9/x", info)


def test_sinks_start_no_python_threads(
    make: tuple[str, Callable[..., Sink]], stream: tuple[StreamInfo, list[Frame]]
) -> None:
    before = threading.active_count()
    with make[1](stream[0]) as sink:
        sink.write(stream[1][0])
        assert threading.active_count() == before


def test_hdr_tags_survive(tmp_path: Path, clip_10bit: Clip) -> None:
    info, frames = read(clip_10bit.path)
    for codec in ("x265", "svtav1"):
        path = tmp_path / f"{codec}.mp4"
        write(path, info, frames, encoder=FAST[codec])
        assert read(path)[0].color == ColorInfo(9, 1, 9, 16)


def test_full_range_is_kept(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "j.mkv", codec="mjpeg", pix_fmt="yuvj420p")
    info, frames = read(clip.path)
    assert info.color.range == 2
    write(tmp_path / "o.mp4", info, frames)
    after, again = read(tmp_path / "o.mp4")
    assert after.color.range == 2
    error = np.abs(again[3].planes[0].astype(int) - frames[3].planes[0])
    assert error.mean() < 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_missing_decoding_times_of_x265_are_repaired(
    tmp_path: Path, stream: tuple[StreamInfo, list[Frame]], count: int
) -> None:
    info, frames = stream
    encoder = EncoderConfig("x265", preset="ultrafast")
    for attempt in range(15):  # the undefined value differs each time
        path = tmp_path / f"{attempt}.mp4"
        write(path, info, frames[:count], encoder=encoder)
        with open_source(str(path)) as source:
            times = [frame.time_s for frame in source]
        assert times == pytest.approx([frame.time_s for frame in frames[:count]])
