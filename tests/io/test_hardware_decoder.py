"""Decoding on the GPU, and the fallback to software, which is tested without a GPU."""

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamdenoise.frame import Frame
from streamdenoise.io.ffmpeg.decoder import VideoDecoder
from streamdenoise.io.ffmpeg.hardware_decoder import decoder_like, why_not_decoding
from streamdenoise.io.ffmpeg.pixel_formats import color_of
from streamdenoise.io.open import open_source
from streamdenoise.io.options import Hwaccel, ReadOptions
from streamdenoise.jobs.config import FileConfig, LiveConfig
from tests.support.clips import Clip, tag_bt709, write_clip
from tests.support.command import python, run

NUM_FRAMES = 40


@pytest.fixture(scope="module")
def h264(clips: Path) -> Clip:
    """H.264 with B-frames and a key frame every 12."""

    def prepare(stream: av.VideoStream) -> None:
        stream.options = {"g": "12", "bf": "3", "crf": "8"}

    return write_clip(
        clips / "gop.mp4",
        width=192,
        height=144,
        num_frames=NUM_FRAMES,
        codec="libx264",
        time_base=Fraction(1, 30000),
        pts=lambda index: 1001 * index,
        prepare=prepare,
    )


@pytest.fixture(scope="module")
def hevc_10bit(clips: Path) -> Clip:
    """10-bit HEVC, of a size at which swscale's threads corrupt p010le."""
    return write_clip(
        clips / "ten.mkv",
        width=854,
        height=480,
        codec="libx265",
        pix_fmt="yuv420p10le",
        prepare=lambda stream: setattr(
            stream, "options", {"preset": "ultrafast", "x265-params": "log-level=error"}
        ),
    )


@pytest.fixture(scope="module")
def av1(clips: Path) -> Clip:
    """AV1, for which FFmpeg has a decoder that only works with hardware."""
    return write_clip(
        clips / "av1.mkv",
        codec="libsvtav1",
        num_frames=20,
        prepare=lambda stream: setattr(stream, "options", {"preset": "12", "g": "8"}),
    )


@pytest.fixture(scope="module")
def vp9(clips: Path) -> Clip:
    """VP9, whose primaries and transfer only the container states."""
    return write_clip(clips / "vp9.mkv", codec="libvpx-vp9", prepare=tag_bt709)


def read(path: Path, **options: object) -> tuple[tuple[str, ...], list[Frame]]:
    with open_source(str(path), ReadOptions(**options)) as source:  # pyright: ignore[reportArgumentType]
        frames = list(source)
        assert source.skipped == 0
        return source.info.notes, frames


def assert_same(one: list[Frame], other: list[Frame]) -> None:
    assert [frame.pts for frame in one] == [frame.pts for frame in other]
    for a, b in zip(one, other, strict=True):
        assert (a.pix_fmt, a.color, a.time_base) == (b.pix_fmt, b.color, b.time_base)
        for plane, same in zip(a.planes, b.planes, strict=True):
            np.testing.assert_array_equal(plane, same)


def decode(
    path: Path,
    make: Callable[[av.VideoCodecContext], av.VideoCodecContext] | None,
    losses: list[tuple[str, bool]] | None = None,
    limit: int | None = None,
) -> tuple[VideoDecoder, list[av.VideoFrame]]:
    """The frames of `limit` packets; `make` returns the hardware decoder."""
    losses = [] if losses is None else losses
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        hardware = None if make is None else make(stream.codec_context)
        decoder = VideoDecoder(stream, hardware, lambda *loss: losses.append(loss))
        packets = [*container.demux(stream), None][:limit]
        return decoder, [frame for p in packets for frame in decoder.decode(p)]


def assert_same_samples(one: list[av.VideoFrame], other: list[av.VideoFrame]) -> None:
    assert [frame.pts for frame in one] == [frame.pts for frame in other]
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.to_ndarray(), b.to_ndarray())


# The option, and the notes


def test_hwaccel_is_an_option_of_file_and_live():
    assert FileConfig("a", "b").hwaccel is LiveConfig("a").hwaccel is Hwaccel.AUTO
    for command in ("file", "live"):
        result = run(command, "a", "--hwaccel", "vdpau")
        assert result.exit_code == 2
        assert "'auto', 'none', 'cuda', 'vaapi'" in result.stderr


def test_a_job_notes_once_that_a_named_device_cannot_be_used(clip: Clip):
    args = ["file", str(clip.path), "-o", "null:", "--strength", "0"]
    lines = {}
    for hwaccel in Hwaccel:
        result = run(*args, "--hwaccel", hwaccel)
        assert result.exit_code == 0, result.output
        stderr = result.stderr.splitlines()
        lines[hwaccel] = [line for line in stderr if "cannot be used" in line]
    devices = {
        "cuda": "NVDEC",
        "vaapi": "VA-API",
        "qsv": "Quick Sync",
        "videotoolbox": "VideoToolbox",
        "d3d11va": "Direct3D 11",
    }
    assert lines == {Hwaccel.AUTO: [], Hwaccel.NONE: []} | {
        name: [
            f"note: {clip.path}: --hwaccel {name}: {device} cannot be used (ffv1 in "
            "yuv420p is not supported); decoded in software"
        ]
        for name, device in devices.items()
    }


def test_without_a_device_the_frames_are_the_same_and_one_line_says_why(h264: Clip):
    """Runs in a separate process, from which every GPU is hidden."""
    script = (
        "import sys, zlib, logging\n"
        "from streamdenoise.io.options import Hwaccel, ReadOptions\n"
        "from streamdenoise.io import open_source\n"
        "logging.basicConfig()\n"
        "for name in Hwaccel:\n"
        "    with open_source(sys.argv[1], ReadOptions(hwaccel=name)) as source:\n"
        "        frames = [zlib.crc32(b''.join(p.tobytes() for p in f.planes))\n"
        "                  for f in source]\n"
        "        print(name, len(frames), hash(tuple(frames)), *source.info.notes)\n"
    )
    done = python(script, h264.path, CUDA_VISIBLE_DEVICES="-1")
    assert (done.returncode, done.stderr) == (0, "")
    auto, none, cuda, *others = (
        line.split(maxsplit=3) for line in done.stdout.splitlines()
    )
    assert auto[1:] == none[1:] == cuda[1:3]
    assert auto[1] == str(NUM_FRAMES)
    assert [each[0] for each in others] == list(Hwaccel)[3:]
    for each in others:
        assert each[1:3] == none[1:]
    assert cuda[3].startswith(
        f"{h264.path}: --hwaccel cuda: NVDEC cannot be used "
        "(no NVIDIA GPU and driver found: "
    )
    assert cuda[3].endswith("); decoded in software")


def test_every_device_is_tried_with_a_reason_why_it_does_not_work():
    found = why_not_decoding()
    assert list(found) == [each for each in Hwaccel if each.is_named]
    program = (
        "from streamdenoise.io.ffmpeg.hardware_decoder import why_not_decoding\n"
        "print(why_not_decoding()['cuda'])"
    )
    hidden = python(program, CUDA_VISIBLE_DEVICES="-1")
    assert hidden.stdout.startswith("no NVIDIA GPU and driver found: ")


def test_auto_only_logs(clip: Clip, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "streamdenoise")
    assert read(clip.path, hwaccel=Hwaccel.AUTO)[0] == ()
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "--hwaccel auto: NVDEC cannot be used" in record.getMessage()


def test_none_opens_no_device(clip: Clip, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    assert read(clip.path, hwaccel=Hwaccel.NONE)[0] == ()
    assert caplog.records == []


# The fallback to software, with real decoders that fail


def test_a_decoder_like_the_streams_own_returns_the_same_frames(
    h264: Clip, hevc_10bit: Clip, vp9: Clip
):
    for clip in (h264, hevc_10bit, vp9):
        losses: list[tuple[str, bool]] = []
        _, plain = decode(clip.path, None)
        _, frames = decode(clip.path, lambda own: decoder_like(own, None), losses)
        assert losses == []
        assert len(frames) == len(clip.pts)
        assert_same_samples(frames, plain)
        assert [color_of(frame) for frame in frames] == [color_of(f) for f in plain]


def test_a_decoder_that_fails_at_the_first_frame_loses_none(av1: Clip):
    """FFmpeg's own AV1 decoder opens, and fails when it needs the hardware."""
    losses: list[tuple[str, bool]] = []
    decoder, frames = decode(av1.path, lambda own: decoder_like(own, None), losses)
    _, plain = decode(av1.path, None)
    assert len(frames) == 20
    assert_same_samples(frames, plain)
    ((why, began),) = losses
    assert why
    assert not began
    assert decoder.skipped == 0


@pytest.mark.parametrize(("num_frames", "limit"), [(40, None), (100, 70)])
def test_a_decoder_that_returns_nothing_is_replaced(
    clips: Path, num_frames: int, limit: int | None
):
    """At the end of a short video, and long before it in a long one."""
    clip = write_clip(
        clips / f"{num_frames}.mp4",
        codec="libx264",
        num_frames=num_frames,
        time_base=Fraction(1, 30000),
        pts=lambda index: 1001 * index,
        prepare=lambda stream: setattr(stream, "options", {"g": "12"}),
    )

    def silent(own: av.VideoCodecContext) -> av.VideoCodecContext:
        decoder = decoder_like(own, None)
        decoder.skip_frame = "ALL"
        return decoder

    losses: list[tuple[str, bool]] = []
    _, frames = decode(clip.path, silent, losses, limit)
    assert losses == [("it returned no frames", False)]
    assert len(frames) > 32
    assert_same_samples(frames, decode(clip.path, None, limit=limit)[1])


def test_a_decoder_that_fails_at_a_later_key_frame_loses_none(clips: Path):
    """A decoder for small frames only, and a stream that grows in the middle."""
    path = clips / "grows.ts"
    parts = []
    for side in (64, 128):
        clip = write_clip(
            clips / f"{side}.ts",
            width=side,
            height=side,
            codec="libx264",
            time_base=Fraction(1, 90000),
            pts=lambda index, side=side: 3003 * (index + NUM_FRAMES * (side == 128)),
        )
        parts.append(clip.path.read_bytes())
    path.write_bytes(b"".join(parts))

    def small(own: av.VideoCodecContext) -> av.VideoCodecContext:
        decoder = decoder_like(own, None)
        decoder.options = {"max_pixels": str(64 * 64 * 2)}
        return decoder

    losses: list[tuple[str, bool]] = []
    decoder, frames = decode(path, small, losses)
    _, plain = decode(path, None)
    assert len(frames) == len(plain) == 24
    assert_same_samples(frames, plain)
    assert [began for _, began in losses] == [True]
    assert decoder.skipped == 0


def test_a_damaged_packet_is_skipped_on_the_gpu_as_in_software(clips: Path):
    path = write_clip(
        clips / "damaged.mp4", codec="libx264", num_frames=24,
        time_base=Fraction(1, 30000), pts=lambda index: 1001 * index,
        prepare=lambda stream: setattr(stream, "options", {"bf": "0", "g": "8"}),
    ).path  # fmt: skip
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))
    position, size = packets[5].pos, packets[5].size
    assert position is not None
    data = bytearray(path.read_bytes())
    data[position : position + size] = bytes(size)
    path.write_bytes(data)
    losses: list[tuple[str, bool]] = []
    decoder, frames = decode(path, lambda own: decoder_like(own, None), losses)
    software, plain = decode(path, None)
    assert losses == []
    assert decoder.skipped == software.skipped == 1
    assert_same_samples(frames, plain)


@pytest.mark.needs_nvdec
@pytest.mark.parametrize("name", ["h264", "hevc_10bit"])
def test_nvdec_returns_the_frames_of_the_software_decoder(
    nvdec: None, request: pytest.FixtureRequest, name: str
):
    path = request.getfixturevalue(name).path
    notes, frames = read(path, hwaccel=Hwaccel.CUDA)
    assert notes == ()
    assert_same(frames, read(path)[1])
