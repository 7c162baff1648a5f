"""One real file for each fault: a one-line error with a remedy, or a counted note."""

import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamdenoise.errors import (
    ConfigError,
    SinkError,
    SourceError,
    SourceLostError,
    SourceOpenError,
)
from streamdenoise.frame import PIX_FMTS, StreamInfo
from streamdenoise.io.ffmpeg.pixel_formats import nearest_pix_fmt
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import EncoderConfig, ReadOptions
from streamdenoise.io.protocols import Sink
from streamdenoise.io.sources.y4m import Y4MSource
from streamdenoise.io.y4m import format_header, parse_header
from tests.support.clips import Clip, moving_gradient, video_frame, write_clip
from tests.support.command import environment, python, run
from tests.support.frames import noise_frame

FFV1 = EncoderConfig("ffv1")


def refusal(uri: object, **kwargs: object) -> str:
    with pytest.raises(SourceOpenError) as caught:
        open_source(str(uri), ReadOptions(**kwargs))  # pyright: ignore[reportArgumentType]
    message = str(caught.value)
    assert "\n" not in message
    return message


def read_all(uri: str, timeout_s: float) -> None:
    with open_source(uri, ReadOptions(timeout_s=timeout_s)) as source:
        list(source)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nothing.mp4")
    assert "no such file" in refusal(tmp_path / "nothing.png")


def test_a_folder_without_images(tmp_path: Path) -> None:
    assert "folder without images" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["empty.mp4", "empty.png"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["noise.mp4", "noise.png", "noise.mkv"])
def test_a_file_that_is_not_a_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(1).bytes(5000))
    assert "damaged" in refusal(tmp_path / name)


def test_a_file_with_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "sound.mka"
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), "s16")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    assert "has no video, only audio" in refusal(path)


def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "self.mp4"
    path.symlink_to(path)
    assert "cannot be opened: too many levels" in refusal(path)


def test_an_unreadable_device() -> None:
    message = refusal("camera:99")
    assert "camera:99 cannot be opened" in message
    assert "plugged in" in message


def test_a_pipe_without_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mkv"
    os.mkfifo(path)
    assert "nothing came for 0.2 s" in refusal(path, timeout_s=0.2)


def test_a_named_pipe_is_read(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "pipe.mkv"
    os.mkfifo(path)
    writer = threading.Thread(
        target=lambda: path.write_bytes(clip.path.read_bytes()), name="writer"
    )
    writer.start()
    with open_source(str(path)) as source:
        assert len(list(source)) == len(clip.frames)
    writer.join()


def test_a_port_without_a_server() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    message = refusal(f"rtsp://me:secret@127.0.0.1:{port}/x", timeout_s=2)
    assert "connection refused" in message
    assert "secret" not in message


def test_a_server_that_never_answers() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        message = refusal(f"http://127.0.0.1:{port}/x.mkv", timeout_s=0.3)
    assert "no answer in time" in message


def test_a_network_stream_that_falls_silent(clip: Clip) -> None:
    """The server sends the first part of a stream and then nothing more."""
    long = write_clip(clip.path.with_name("long.ts"), num_frames=60, codec="libx264")
    data = long.path.read_bytes()
    done = threading.Event()

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + data)
            done.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), name="server")
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/live.ts"
        try:
            # Probing reads on until it knows the stream, and the silence ends that.
            with pytest.raises(SourceError, match="no answer in time"):
                read_all(url, timeout_s=1.0)
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_truncated_file_gives_the_frames_it_has(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(
        tmp_path / f"whole{suffix}",
        num_frames=40,
        time_base=Fraction(1001, 30000),
        pts=lambda index: index,
    )
    data = clip.path.read_bytes()
    path = tmp_path / f"half{suffix}"
    path.write_bytes(data[: len(data) // 2])
    with open_source(str(path)) as source:
        frames = list(source)
        assert 5 < len(frames) < 40
        assert any("truncated" in note for note in source.info.notes)
    np.testing.assert_array_equal(frames[3].planes[0], clip.frames[3][0])


def test_a_truncated_mp4_without_its_index(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "whole.mp4", codec="libx264")
    data = clip.path.read_bytes()
    clip.path.write_bytes(data[: len(data) // 2])
    assert "header is damaged" in refusal(clip.path)


def test_corrupt_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "whole.mov",
        codec="png",
        pix_fmt="gray",
        time_base=Fraction(1, 30000),
        pts=lambda index: 1001 * index,
    )
    data = bytearray(clip.path.read_bytes())
    starts = [i for i in range(len(data) - 4) if data[i : i + 4] == b"\x89PNG"]
    assert len(starts) == len(clip.frames)
    for position in (starts[3], starts[7]):
        data[position : position + 100] = bytes(100)
    clip.path.write_bytes(data)
    with open_source(str(clip.path)) as source:
        frames = list(source)
        assert source.skipped == 2
        assert any("skipped 2 frames" in note for note in source.info.notes)
    good = [pts for i, pts in enumerate(clip.pts) if i not in (3, 7)]
    assert [frame.pts for frame in frames] == good


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray"])
def test_a_video_of_one_pixel(tmp_path: Path, pix_fmt: str) -> None:
    clip = write_clip(tmp_path / "dot.mkv", width=1, height=1, pix_fmt=pix_fmt)
    for name, encoder in (("out.mkv", FFV1), ("out.mp4", EncoderConfig("x264"))):
        with (
            open_source(str(clip.path)) as source,
            open_sink(str(tmp_path / name), source.info, encoder=encoder) as sink,
        ):
            for frame in source:
                assert frame.planes[0].shape == (1, 1)
                sink.write(frame)
    with open_source(str(tmp_path / "out.mkv")) as source:
        assert len(list(source)) == len(clip.frames)
    assert "padded to 2x2" in sink.notes[0]


def test_a_wide_frame_works_and_a_wider_one_is_refused(tmp_path: Path) -> None:
    fits = write_clip(tmp_path / "a.mkv", width=16384, height=2, num_frames=1)
    with open_source(str(fits.path)) as source:
        assert next(iter(source)).width == 16384
    wide = write_clip(tmp_path / "b.mkv", width=16386, height=2, num_frames=1)
    assert "at most 16384 pixels a side" in refusal(wide.path)


def test_an_image_whose_header_claims_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + header + bytes(20))
    assert "60000x60000" in refusal(path)
    with pytest.raises(ConfigError, match="at most 16384"):
        open_source("testsrc:99999x2@25")


def test_size_and_format_that_change_midstream(tmp_path: Path) -> None:
    """MJPEG allows both: each packet is a separate image."""
    path = tmp_path / "change.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(9):
            size = (64, 48) if index < 3 else (32, 96)
            pix_fmt = "yuvj444p" if index >= 6 else "yuvj420p"
            encoder = av.CodecContext.create("mjpeg", "w")
            assert isinstance(encoder, av.VideoCodecContext)
            encoder.width, encoder.height, encoder.pix_fmt = *size, pix_fmt
            encoder.time_base = Fraction(1, 25)
            encoder.color_range = 2
            image = video_frame(moving_gradient(*size, index), "yuvj420p")
            image = image.reformat(format=pix_fmt)
            image.pts, image.time_base = 0, Fraction(1, 25)
            for packet in encoder.encode(image):
                packet.pts = packet.dts = index
                packet.time_base, packet.stream = Fraction(1, 25), stream
                container.mux(packet)
    with open_source(str(path)) as source:
        frames = list(source)
        assert {(f.width, f.height, f.pix_fmt) for f in frames} == {(64, 48, "yuv420p")}
        assert any("scaled 6 frames" in note for note in source.info.notes)
    assert len(frames) == 9


def test_missing_timestamps_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "raw.h264"
    write_clip(path, codec="libx264", time_base=1 / Fraction(30000, 1001))
    with open_source(str(path)) as source:
        stamps = [frame.pts for frame in source]
        steps = set(np.diff(stamps).tolist())
    assert len(stamps) == 12
    assert len(steps) == 1


def test_a_start_after_the_end(clip: Clip) -> None:
    assert "choose an earlier start" in refusal(clip.path, start_s=60.0)


def test_an_unknown_pixel_format(clip: Clip) -> None:
    with pytest.raises(ConfigError, match="nv21"):
        open_source(str(clip.path), ReadOptions(pix_fmt="nv21"))


def test_an_unknown_codec_and_extension(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose one of x264"):
        EncoderConfig("divx")
    with pytest.raises(SinkError, match="its extension must be one of"):
        open_sink(str(tmp_path / "out.xyz"), StreamInfo(64, 48, "yuv420p"))
    with pytest.raises(SinkError, match="webm does not support x264; choose --codec"):
        open_sink(
            str(tmp_path / "out.webm"),
            StreamInfo(64, 48, "yuv420p"),
            encoder=EncoderConfig("x264"),
        )
    with pytest.raises(SinkError, match=r"try another --codec or --preset"):
        open_sink(
            str(tmp_path / "out.mkv"),
            StreamInfo(64, 48, "yuv420p"),
            encoder=EncoderConfig("x264", preset="fastest"),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.y4m", "out.png"])
def test_an_existing_output_is_not_touched(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"precious")
    with pytest.raises(SinkError, match="add --overwrite"):
        open_sink(str(path), StreamInfo(64, 48, "yuv420p"))
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["out.mkv", "out.y4m", "out.png"])
def test_a_folder_that_does_not_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(SinkError, match="does not exist; create it first"):
        open_sink(str(tmp_path / "no" / name), StreamInfo(64, 48, "yuv420p"))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("name", ["out.mkv", "out.y4m", "out.png"])
def test_a_folder_in_which_nothing_can_be_created(name: str) -> None:
    with pytest.raises(SinkError, match="no files can be created in /proc; choose"):
        open_sink(f"/proc/{name}", StreamInfo(64, 48, "yuv420p"))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("/proc/new/%d.png", "/proc/new cannot be created: no folders can be"),
        ("/proc/%d.png", "no files can be created in /proc; choose"),
    ],
)
def test_a_folder_of_images_that_cannot_be_created(output: str, words: str) -> None:

    with (
        pytest.raises(SinkError, match=words),
        open_sink(output, StreamInfo(64, 48, "yuv420p")) as sink,
    ):
        sink.write(noise_frame())


@pytest.mark.parametrize("name", ["out.mkv", "out.y4m", "out.png"])
def test_a_file_in_place_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SinkError, match=r"notes\.txt is not a folder; choose another"):
        open_sink(str(tmp_path / "notes.txt" / name), StreamInfo(64, 48, "yuv420p"))


@contextmanager
def folder_with_mode(mode: int) -> Iterator[Path]:
    """A folder with such permissions, as a user whom they bind."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(mode)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # permissions do not bind the superuser
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o755)


@pytest.mark.parametrize("name", ["out.mkv", "out.y4m", "out.png", "folder/"])
def test_a_read_only_folder(name: str) -> None:
    with (
        folder_with_mode(0o555) as folder,
        pytest.raises(SinkError, match="permission denied; choose another"),
    ):
        open_sink(f"{folder}/{name}", StreamInfo(64, 48, "yuv420p"))


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.y4m", "%d.png", "folder"])
def test_a_file_in_a_closed_folder(name: str) -> None:
    with folder_with_mode(0) as folder:
        assert "permission denied" in refusal(folder / name)


@pytest.mark.parametrize("name", ["out.mkv", "out.y4m", "out.png"])
def test_an_output_in_a_closed_folder(name: str) -> None:
    with (
        folder_with_mode(0) as folder,
        pytest.raises(SinkError, match="permission denied; choose another"),
    ):
        open_sink(str(folder / name), StreamInfo(64, 48, "yuv420p"))


LONG = 300 * "n"


@pytest.mark.parametrize(
    "words",
    [
        ("file", f"{LONG}.mp4", "-o", "null:"),
        ("file", "testsrc:", "-o", f"{LONG}.mkv"),
        ("file", "testsrc:", "-o", "null:", "--model", LONG),
        ("file", "testsrc:", "-o", "null:", "--model", f"{LONG}.safetensors"),
        ("image", f"{LONG}.png", "-o", "null:"),
        ("live", f"{LONG}.mp4", "-o", "null:"),
        ("profile", f"{LONG}.mp4"),
        ("eval", LONG),
    ],
    ids=lambda words: " ".join(words).replace(LONG, "LONG"),
)
def test_a_path_that_is_too_long_for_the_system(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("error: ")


def fill(sink: Sink) -> None:
    with sink:
        for index in range(60):
            sink.write(noise_frame(index, width=640, height=480))


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.y4m"])
def test_a_full_disk(tmp_path: Path, name: str) -> None:
    """The limit on the size of files makes a write fail as a full disk does."""
    info = StreamInfo(640, 480, "yuv420p", Fraction(25), Fraction(1, 25))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = open_sink(
        str(tmp_path / name), info, encoder=EncoderConfig("x264", preset="ultrafast")
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, before[1]))
    try:
        with pytest.raises(SinkError, match=r"file too large.* kept as .*out\.part"):
            fill(sink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (kept,) = tmp_path.iterdir()
    with open_source(str(kept)) as source:
        assert len(list(source)) > 3


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_a_killed_process_leaves_a_playable_file(tmp_path: Path, name: str) -> None:
    script = f"""
import os, signal
from fractions import Fraction
from tests.support.frames import noise_frame
from streamdenoise.io.options import EncoderConfig
from streamdenoise.frame import StreamInfo
from streamdenoise.io import Sink, open_sink
info = StreamInfo(64, 48, "yuv420p", Fraction(25), Fraction(1, 25))
sink = open_sink(
    {str(tmp_path / name)!r}, info, encoder=EncoderConfig("x264", preset="ultrafast")
)
for index in range(400):
    sink.write(noise_frame(index))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(script).returncode == -signal.SIGKILL
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("out.part")
    with open_source(str(kept)) as source:
        assert len(list(source)) > 200


def test_closed_stdout_is_a_sink_error() -> None:
    script = """
import os, sys
from tests.support.frames import noise_frame
from streamdenoise.errors import SinkError
from streamdenoise.frame import StreamInfo
from streamdenoise.io import Sink, open_sink
os.dup2(int(os.environ["PIPE"]), 1)
try:
    with open_sink("-", StreamInfo(640, 480, "yuv420p")) as sink:
        sink.write(noise_frame(width=640, height=480))
except SinkError as exc:
    print(exc, file=sys.stderr)
"""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", script],
        pass_fds=[writer],
        env=environment(PIPE=str(writer)),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=50,
    )
    os.close(writer)
    assert done.stderr.splitlines() == [
        "stdout was closed by the program that reads it; check that program's messages"
    ]
    assert done.returncode == 0


def test_a_folder_with_one_broken_image(tmp_path: Path) -> None:
    image = np.full((8, 8, 3), 90, np.uint8)
    for name in ("a1.png", "a2.png", "a10.png"):
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "a2.png").write_bytes(b"\x89PNG broken")
    with open_source(str(tmp_path)) as source:
        frames = list(source)
        assert source.skipped == 1
        assert [frame.index for frame in frames] == [0, 2]
        assert any("a2.png is not an image" in note for note in source.info.notes)


def y4m(data: bytes, tmp_path: Path) -> Y4MSource:
    path = tmp_path / "stream"
    path.write_bytes(data)
    return Y4MSource(path.open("rb"), "stdin", ReadOptions())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "ended before the header"),
        (b"RIFF\n", "not yuv4mpegpipe"),
        (b"YUV4MPEG2 H4 F25:1\n", "no valid W tag"),
        (b"YUV4MPEG2 W4 H0 F25:1\n", "frame size is 4x0"),
        (b"YUV4MPEG2 W999999 H999999\n", "at most 16384"),
        (b"YUV4MPEG2 W4 H4 C411\n", "C411 is not supported"),
        (b"YUV4MPEG2 W4 W4 H4\n", "two W tags"),
        (b"YUV4MPEG2 W4 H4 Fx\n", "no valid F tag"),
        (b"YUV4MPEG2 W4 H4", "ended within a header"),
        (b"YUV4MPEG2 " + b"X" * 9000 + b"\n", "longer than 4096"),
    ],
)
def test_bad_y4m_headers(header: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceOpenError, match=message):
        y4m(header, tmp_path)


def test_y4m_that_ends_within_a_frame(tmp_path: Path) -> None:
    frame = b"FRAME\n" + bytes(24)
    with y4m(b"YUV4MPEG2 W4 H4 F25:1\n" + frame + frame[:-5], tmp_path) as source:
        assert len(list(source)) == 1
        assert source.skipped == 1
        assert "ended within frame 1" in source.info.notes[0]


def test_y4m_without_a_frame_header(tmp_path: Path) -> None:
    data = b"YUV4MPEG2 W4 H4 F25:1\nFRAME\n" + bytes(24) + b"garbage\n"
    with y4m(data, tmp_path) as source, pytest.raises(SourceLostError, match="FRAME"):
        list(source)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    pix_fmt=st.sampled_from(
        [name for name in PIX_FMTS if name not in ("rgb24", "gray16le", "rgb48le")]
    ),
    original=st.none() | st.sampled_from(["yuv422p", "yuv444p12le", "gray16le"]),
    rate=st.fractions(Fraction(1, 100), 1000, max_denominator=1001),
    aspect=st.none() | st.fractions(Fraction(1, 20), 20, max_denominator=99),
    color_range=st.integers(0, 2),
)
def test_y4m_headers_round_trip(
    width: int,
    height: int,
    pix_fmt: str,
    original: str | None,
    rate: Fraction,
    aspect: Fraction | None,
    color_range: int,
) -> None:
    info = StreamInfo(width, height, pix_fmt, rate, sample_aspect=aspect)
    color = type(info.color)(range=color_range)
    if original is not None:
        pix_fmt = nearest_pix_fmt(original)
    info = StreamInfo(
        *(width, height, pix_fmt, rate, 1 / rate),
        color=color,
        sample_aspect=aspect,
        original_pix_fmt=original,
    )
    parsed = parse_header(format_header(info)[:-1])
    for name in StreamInfo.__dataclass_fields__:
        assert getattr(parsed, name) == getattr(info, name)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    data=st.binary(max_size=400)
    | st.builds(
        lambda header, body: b"YUV4MPEG2 W4 H2 " + header + b"\n" + body,
        st.binary(max_size=60),
        st.binary(max_size=100).map(lambda tail: b"FRAME\n" + tail),
    )
)
def test_any_bytes_give_frames_or_a_source_error(data: bytes, tmp_path: Path) -> None:
    message = ""
    try:
        with y4m(data, tmp_path) as source:
            size = (source.info.width, source.info.height)
            for frame in source:
                assert (frame.width, frame.height) == size
    except SourceError as exc:
        message = str(exc)
    assert "\n" not in message
