"""Ordinary files of other programs come through whole, whatever is odd about them."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Stream

from streamdenoise.errors import ConfigError, SinkError, SourceOpenError
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import (
    Deinterlace,
    EncoderConfig,
    FilterOptions,
    ReadOptions,
)
from streamdenoise.io.protocols import beside_of
from streamdenoise.io.sources.timeline import Timeline
from streamdenoise.units import Region
from tests.support.clips import moving_gradient, video_frame
from tests.support.media import (
    RATE,
    roundtrip,
    stream_codecs,
    stream_times,
    write_media,
)

FAST = EncoderConfig("x264", preset="ultrafast")


SCENE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1")
SOUND = ("-f", "lavfi", "-i", "sine=r=48000:d=1")


def ffmpeg(*arguments: object) -> bytes:
    """Run FFmpeg's own program, and return what it writes to stdout."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def num_frames(path: Path) -> int:
    with open_source(str(path)) as source:
        return len(list(source))


def notes_of(path: Path, options: ReadOptions | None = None) -> tuple[str, ...]:
    with open_source(str(path), options) as source:
        list(source)
        return source.info.notes


@pytest.mark.parametrize("target", ["mp4", "mov", "m4v"])
def test_sound_with_headers_of_its_own_goes_into_mp4(
    tmp_path: Path, target: str
) -> None:
    """AAC in transport streams has a header in each packet, which MP4 must not have."""
    write_media(tmp_path / "in.ts", audio="aac")
    notes = roundtrip(tmp_path / "in.ts", tmp_path / f"out.{target}", FAST)
    assert notes == ()
    with av.open(str(tmp_path / f"out.{target}")) as container:
        assert len(list(container.decode(audio=0))) > 40
    before = stream_times(tmp_path / "in.ts", "audio")
    assert len(stream_times(tmp_path / f"out.{target}", "audio")) == len(before)


@pytest.mark.parametrize("layout", ["stereo", "5.1"])
@pytest.mark.parametrize("source", ["avi", "mkv", "nut", "mxf"])
def test_sound_without_a_layout_goes_into_mp4(
    tmp_path: Path, source: str, layout: str
) -> None:
    video = "mpeg2video" if source == "mxf" else "mjpeg"
    path = tmp_path / f"in.{source}"
    write_media(path, video=video, audio="pcm_s16le", layout=layout)
    roundtrip(path, tmp_path / "out.mp4", FAST)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].channels == av.AudioLayout(layout).nb_channels
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples >= 0.95 * 48000


@pytest.mark.parametrize("target", ["mkv", "mp4", "mov", "webm"])
def test_cues_that_overlap(tmp_path: Path, target: str) -> None:
    cues = [(0.1, 0.9, "SIGN"), (0.2, 0.4, "one"), (0.2, 0.5, "same"), (0.6, 0.8, "2")]
    write_media(tmp_path / "in.mkv", audio=None, subtitles=cues)
    encoder = EncoderConfig("svtav1", preset="12") if target == "webm" else FAST
    roundtrip(tmp_path / "in.mkv", tmp_path / f"out.{target}", encoder)
    shown = ffmpeg("-i", tmp_path / f"out.{target}", "-f", "srt", "-").decode()
    begins = [line.split(" --> ")[0] for line in shown.splitlines() if "-->" in line]
    assert [text in shown for _, _, text in cues] == [True] * 4
    assert begins[0] == "00:00:00,100"
    assert begins[3] == "00:00:00,600"


@pytest.mark.parametrize("kind", ["ts", "mkv", "vob"])
@pytest.mark.parametrize("target", ["mkv", "mp4", "ts", "avi"])
def test_joined_recordings(tmp_path: Path, kind: str, target: str) -> None:
    part, joined = tmp_path / f"part.{kind}", tmp_path / f"joined.{kind}"
    video = "mpeg2video" if kind == "vob" else "libx264"
    write_media(part, video=video, audio="mp2" if kind == "vob" else "ac3", b_frames=2)
    joined.write_bytes(part.read_bytes() * 2)
    roundtrip(joined, tmp_path / f"out.{target}", FAST)
    assert num_frames(tmp_path / f"out.{target}") == 2 * RATE
    before = stream_times(part, "audio")
    after = stream_times(tmp_path / f"out.{target}", "audio")
    assert len(after) == 2 * len(before)
    assert all(0 < b - a < 0.2 for a, b in pairwise(after))
    assert any("jumps back" in note for note in notes_of(joined))


def moved(seconds: float, number: int = 20) -> Callable[[av.Packet], None]:
    """Moves the audio packet `number`, and all of the video from that time on."""

    def edit(packet: av.Packet) -> None:
        if packet.pts is not None and packet.pts * packet.time_base >= number / RATE:
            ticks = round(seconds / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, (packet.dts or 0) + ticks

    return edit


def test_a_clock_that_is_set_in_a_transport_stream(tmp_path: Path) -> None:
    write_media(tmp_path / "in.ts", edit=moved(3600))
    (note,) = notes_of(tmp_path / "in.ts")
    assert "jumps ahead by 36" in note
    roundtrip(tmp_path / "in.ts", tmp_path / "out.mkv", FAST)
    for kind in ("video", "audio"):
        times = stream_times(tmp_path / "out.mkv", kind)
        assert len(times) >= RATE
        assert max(times) < 1.2


def test_a_long_gap_in_matroska_is_one(tmp_path: Path) -> None:
    write_media(tmp_path / "in.mkv", edit=moved(30))
    roundtrip(tmp_path / "in.mkv", tmp_path / "out.mkv", FAST)
    assert max(stream_times(tmp_path / "out.mkv", "video")) > 30


def packet_at(stream: Stream, seconds: float) -> av.Packet:
    packet = av.Packet(b"x")
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = round(seconds * 1000)
    packet.duration = 40
    return packet


@pytest.mark.parametrize("step_s", [0.05, 0.5, 2.0, 100.0])
def test_one_packet_that_steps_back_moves_nothing_else(
    tmp_path: Path, step_s: float
) -> None:
    write_media(tmp_path / "in.mkv")
    with av.open(str(tmp_path / "in.mkv")) as container:
        timeline = Timeline()
        for index in range(50):
            for stream in (container.streams.video[0], container.streams.audio[0]):
                is_odd = index == 20 and stream.type == "audio"
                at = index * 0.04 - (step_s if is_odd else 0)
                moment = timeline.move(packet_at(stream, at))
                if not is_odd:
                    assert float(moment or 0) == pytest.approx(index * 0.04)


def test_a_stream_that_follows_a_jump_late_keeps_its_place(tmp_path: Path) -> None:
    """At a join, packets of the first part come after some of the second."""
    write_media(tmp_path / "in.mkv")
    with av.open(str(tmp_path / "in.mkv")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        timeline = Timeline()
        order = [(video, n * 0.04) for n in range(50)]
        order += [(audio, n * 0.04) for n in range(40)]
        order += [(video, n * 0.04) for n in range(5)]
        order += [(audio, n * 0.04) for n in range(40, 50)]
        order += [(audio, n * 0.04) for n in range(50)]
        moments = [timeline.move(packet_at(*each)) for each in order]
    heard = [
        float(m or 0) for m, (s, _) in zip(moments, order, strict=True) if s is audio
    ]
    assert heard == pytest.approx([n * 0.04 for n in range(100)])
    assert len(timeline.jumps) == 1


@pytest.mark.parametrize("source", ["mkv", "mp4", "mov", "ts", "nut", "webm"])
@pytest.mark.parametrize("late_s", [0.0, 1.0])
def test_sound_before_the_video_is_kept(
    tmp_path: Path, source: str, late_s: float
) -> None:
    path, target = tmp_path / f"in.{source}", tmp_path / "out.mkv"
    video, audio = ("libvpx", "libopus") if source == "webm" else ("libx264", "aac")
    write_media(
        path, seconds=1.0, video=video, audio=audio, video_from_s=late_s, b_frames=2
    )
    roundtrip(path, target, FAST)
    before, after = stream_times(path, "audio"), stream_times(target, "audio")
    assert len(after) == len(before)
    first = stream_times(path, "video")[0] - before[0]
    assert stream_times(target, "video")[0] - after[0] == pytest.approx(first, abs=2e-3)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("rate", [25, 50])
def test_raw_streams_play_at_their_own_rate(
    tmp_path: Path, codec: str, rate: int
) -> None:
    path = tmp_path / f"in.{codec}"
    encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
    scene = ("-f", "lavfi", "-i", f"testsrc2=s=64x48:r={rate}:d=1")
    quiet = ("-x265-params", "log-level=error") if codec == "hevc" else ()
    ffmpeg(*scene, "-c:v", encoder, "-pix_fmt", "yuv420p", *quiet, path)
    roundtrip(path, tmp_path / "out.mkv", FAST)
    times = sorted(stream_times(tmp_path / "out.mkv", "video"))
    assert times == pytest.approx([n / rate for n in range(rate)], abs=1e-3)
    slow = ReadOptions(input_rate=Fraction(10))
    roundtrip(path, tmp_path / "slow.mkv", FAST, options=slow)
    times = sorted(stream_times(tmp_path / "slow.mkv", "video"))
    assert times == pytest.approx([n / 10 for n in range(rate)], abs=1e-3)


@pytest.mark.parametrize("codec", ["pcm_alaw", "pcm_mulaw", "adpcm_ms", "wmav2"])
def test_matroska_takes_more_than_ffmpeg_says(tmp_path: Path, codec: str) -> None:
    sound = ("-f", "lavfi", "-i", "sine=r=8000:d=1")
    ffmpeg(*SCENE, *sound, "-c:v", "mpeg4", "-c:a", codec, tmp_path / "in.mkv")
    assert roundtrip(tmp_path / "in.mkv", tmp_path / "out.mkv", FAST) == ()
    assert stream_codecs(tmp_path / "out.mkv") == ["h264", codec]


@pytest.mark.parametrize("begin_s", [0, 50_000, 95_443.5])
@pytest.mark.parametrize("target", ["mp4", "mkv", "avi"])
def test_transport_streams_begin_at_zero(
    tmp_path: Path, begin_s: float, target: str
) -> None:
    """Also across the wrap of their clock of 33 bits, after 95,443.7 s."""
    write_media(tmp_path / "plain.ts", b_frames=2)
    offset = ("-output_ts_offset", begin_s)
    ffmpeg("-i", tmp_path / "plain.ts", "-c", "copy", *offset, tmp_path / "in.ts")
    out = tmp_path / f"out.{target}"
    roundtrip(tmp_path / "in.ts", out, FAST)
    assert num_frames(out) == RATE
    video, audio = stream_times(out, "video"), stream_times(out, "audio")
    assert len(audio) == len(stream_times(tmp_path / "plain.ts", "audio"))
    assert min(*video, *audio) == pytest.approx(0, abs=0.05)
    assert abs(min(video) - min(audio)) < 0.1


@pytest.mark.parametrize("kind", ["ts", "vob", "mkv", "avi"])
@pytest.mark.parametrize("start_s", [0.3, 2.0])
def test_start_within_the_first_group(
    tmp_path: Path, kind: str, start_s: float
) -> None:
    path = tmp_path / f"in.{kind}"
    scene = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=4")
    codec = "mpeg2video" if kind == "vob" else "libx264"
    b_frames = 0 if kind == "avi" else 2
    ffmpeg(
        *scene, "-c:v", codec, "-g", 80, "-bf", b_frames, "-pix_fmt", "yuv420p", path
    )
    with open_source(str(path), ReadOptions(start_s=start_s)) as source:
        frames = list(source)
    assert len(frames) == pytest.approx(100 - start_s * 25, abs=1)
    assert all(0.03 < b.time_s - a.time_s < 0.05 for a, b in pairwise(frames))


@pytest.mark.parametrize("kind", ["avi", "asf"])
def test_b_frames_in_formats_with_one_time(tmp_path: Path, kind: str) -> None:
    write_media(tmp_path / "in.mkv", seconds=2, audio=None, b_frames=3)
    annex_b = ("-c", "copy", "-bsf:v", "h264_mp4toannexb")
    ffmpeg("-i", tmp_path / "in.mkv", *annex_b, tmp_path / f"in.{kind}")
    with open_source(str(tmp_path / f"in.{kind}")) as source:
        times = [frame.time_s for frame in source]
        assert source.info.notes == ()
    assert len(times) == 2 * RATE
    assert [round(b - a, 3) for a, b in pairwise(times)] == [0.04] * (2 * RATE - 1)


@pytest.mark.parametrize("marked", [True, False])
def test_the_film_is_denoised_and_not_the_thumbnail(
    tmp_path: Path, marked: bool
) -> None:
    write_media(tmp_path / "film.mkv", audio=None)
    scene = ("-f", "lavfi", "-i", "testsrc2=s=32x32:r=1:d=1")
    codecs = ("-c:v:0", "mjpeg", "-pix_fmt:v:0", "yuvj420p", "-c:v:1", "copy")
    default = ("-disposition:v:0", 0, "-disposition:v:1", "default" if marked else 0)
    maps = ("-map", 0, "-map", 1)
    film = ("-i", tmp_path / "film.mkv")
    ffmpeg(*scene, *film, *maps, *codecs, *default, tmp_path / "in.mkv")
    assert num_frames(tmp_path / "in.mkv") == RATE
    with open_source(str(tmp_path / "in.mkv"), ReadOptions(stream=0)) as source:
        assert source.info.width == 32
    with pytest.raises(SourceOpenError, match=r"stream 7 is no video.* has 0 and 1"):
        open_source(str(tmp_path / "in.mkv"), ReadOptions(stream=7))


@pytest.mark.parametrize(
    ("tag", "end"),
    [
        ("00:00:59.000000000", "59.00"),
        ("0:0:5e999999999", ""),  # hours of work, were it taken for a number
        ("0:0:5e400", ""),
        ("0:0:1/0", ""),
        ("1" * 20, ""),
    ],
)
def test_a_stated_duration_that_is_not_true(tmp_path: Path, tag: str, end: str) -> None:
    path = tmp_path / "in.mkv"
    write_media(path, audio=None)
    stated = b"00:00:01.000000000"
    data = path.read_bytes()
    assert data.count(stated) == 1
    path.write_bytes(data.replace(stated, tag.encode()[:18].ljust(18, b"\0")))
    notes = notes_of(path)
    assert bool(notes) == bool(end)
    assert all(f"ends at 0.96 s of {end} s" in note for note in notes)


def test_chosen_sound_and_subtitles(tmp_path: Path) -> None:
    write_media(tmp_path / "in.mkv", subtitles=[(0, 0.5, "cue")])
    for options, expected in (
        (ReadOptions(audio="none"), ["h264", "subrip"]),
        (ReadOptions(subtitles="none"), ["h264", "ac3"]),
        (ReadOptions(audio="1", subtitles="none"), ["h264", "ac3"]),
    ):
        assert (
            roundtrip(tmp_path / "in.mkv", tmp_path / "out.mkv", FAST, options=options)
            == ()
        )
        assert stream_codecs(tmp_path / "out.mkv") == expected
        (tmp_path / "out.mkv").unlink()
    with pytest.raises(SourceOpenError, match="--audio 2: stream 2 is no audio"):
        open_source(str(tmp_path / "in.mkv"), ReadOptions(audio="2"))


@pytest.mark.parametrize("target", ["mp4", "mkv", "mov"])
def test_the_last_picture_of_a_slide_show_stays(tmp_path: Path, target: str) -> None:
    def edit(packet: av.Packet) -> None:
        if packet.pts is not None and packet.pts * packet.time_base == Fraction(24, 25):
            packet.duration = round(4 / packet.time_base)

    write_media(tmp_path / "in.mp4", audio=None, edit=edit)
    roundtrip(tmp_path / "in.mp4", tmp_path / f"out.{target}", FAST)
    with av.open(str(tmp_path / f"out.{target}")) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(4.96, abs=0.1)


def test_side_data_of_a_newer_kind(tmp_path: Path) -> None:
    """EXIF in Motion JPEG, which PyAV does not know yet."""
    write_media(tmp_path / "in.avi", video="mjpeg", audio=None)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x0f\0\2\0\0\0\6\0\0\0\x1a\0\0\0\0Maker\0"
    mark = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    with av.open(str(tmp_path / "in.avi")) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    (tmp_path / "in.mjpeg").write_bytes(
        b"".join(picture[:2] + mark + picture[2:] for picture in pictures)
    )
    assert num_frames(tmp_path / "in.mjpeg") == RATE


@pytest.mark.parametrize("codec", ["flac", "pcm_s16le", "alac", "truehd", "libvorbis"])
@pytest.mark.parametrize("target", ["ts", "webm", "mp4", "avi"])
def test_sound_is_readable_in_every_container(
    tmp_path: Path, codec: str, target: str
) -> None:
    codecs = ("-c:v", "mpeg4", "-c:a", codec, "-strict", -2)
    ffmpeg(*SCENE, *SOUND, *codecs, tmp_path / "in.mkv")
    encoder = EncoderConfig("svtav1", preset="12") if target == "webm" else FAST
    notes = roundtrip(tmp_path / "in.mkv", tmp_path / f"out.{target}", encoder)
    before = stream_codecs(tmp_path / "in.mkv")[1]
    after = stream_codecs(tmp_path / f"out.{target}")[1]
    assert (before != after) == any("is converted to" in note for note in notes)
    with av.open(str(tmp_path / f"out.{target}")) as container:
        heard = [frame.samples for frame in container.decode(audio=0)]
    assert sum(heard) >= 0.9 * 48000


def test_nothing_unfinished_has_the_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A muxer that refuses the video itself in mid-job."""
    write_media(tmp_path / "in.mkv", audio=None)
    with open_source(str(tmp_path / "in.mkv")) as source:
        sink = open_sink(str(tmp_path / "out.mkv"), source.info, encoder=FAST)
        frames = list(source)
        for frame in frames[:10]:
            sink.write(frame)
        sink.abort()
    assert not (tmp_path / "out.mkv").exists()
    assert num_frames(tmp_path / "out.part.mkv") == 10


MATRICES = {
    "90": (0, 1, 0, -1, 0, 0),
    "180": (-1, 0, 0, 0, -1, 0),
    "270": (0, -1, 0, 1, 0, 0),
    "hflip": (-1, 0, 0, 0, 1, 0),
    "vflip": (1, 0, 0, 0, -1, 0),
    "transpose": (0, 1, 0, 1, 0, 0),
    "transverse": (0, -1, 0, -1, 0, 0),
}


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_upright_where_no_tag_can_say_so(tmp_path: Path, name: str) -> None:
    """As FFmpeg turns them."""
    path = tmp_path / "in.mp4"
    write_media(tmp_path / "plain.mp4", audio=None)
    turn = [65536 * each for each in MATRICES[name]]
    with (
        av.open(str(tmp_path / "plain.mp4")) as before,
        av.open(str(path), "w") as after,
    ):
        stream = after.add_stream_from_template(before.streams.video[0])
        stream.set_display_matrix([*turn, 0, 0, 1 << 30])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    raw = ffmpeg(
        "-i", path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"
    )
    with open_source(str(path)) as source:
        frame = next(iter(source))
        assert (source.info.width, source.info.height) == (frame.width, frame.height)
    assert b"".join(plane.tobytes() for plane in frame.planes) == raw
    # Where there is something to cut, filters turn the frame.
    filters = FilterOptions(crop=Region(0, 0, frame.width, frame.height))
    with open_source(str(path), ReadOptions(filters=filters)) as source:
        cut = next(iter(source))
    for plane, expected in zip(cut.planes, frame.planes, strict=True):
        np.testing.assert_array_equal(plane, expected)


def interlaced(path: Path) -> None:
    # Moves between the fields.
    scene = "testsrc2=s=64x48:r=50:d=1,scroll=h=0.05"
    fields = "tinterlace=interleave_top,setfield=tff"
    codec = ("-c:v", "libx264", "-flags", "+ildct+ilme", "-pix_fmt", "yuv420p")
    ffmpeg("-f", "lavfi", "-i", scene, "-vf", fields, *codec, path)


def test_interlaced_video_becomes_whole_frames(tmp_path: Path) -> None:
    interlaced(tmp_path / "in.mkv")
    with open_source(str(tmp_path / "in.mkv")) as source:
        whole = list(source)
        assert any("whole frames are made of it" in note for note in source.info.notes)
    off = ReadOptions(filters=FilterOptions(deinterlace=Deinterlace.OFF))
    with open_source(str(tmp_path / "in.mkv"), off) as source:
        combed = list(source)
        assert any("not marked so" in note for note in source.info.notes)
    assert [f.pts for f in whole] == [f.pts for f in combed]

    def combs(frame: np.ndarray) -> float:
        rows = frame.astype(int)
        return float(np.abs(rows[2:] - 2 * rows[1:-1] + rows[:-2]).mean())

    assert combs(whole[5].planes[0]) < 0.8 * combs(combed[5].planes[0])


def test_masks_crop_scale_and_rate(tmp_path: Path) -> None:
    write_media(tmp_path / "in.mkv", audio=None)
    filters = FilterOptions(
        masks=(Region(0, 0, 8, 8), Region(40, 20, 8, 8)),
        crop=Region(0, 0, 48, 32),
        scale=(96, 64),
        fps=Fraction(50),
    )
    with open_source(str(tmp_path / "in.mkv"), ReadOptions(filters=filters)) as source:
        frames = list(source)
        assert (source.info.width, source.info.height) == (96, 64)
        assert source.info.frame_rate == 50
    assert len(frames) == pytest.approx(50, abs=1)
    assert [f.time_s for f in frames] == pytest.approx(
        [n / 50 for n in range(len(frames))]
    )
    luma = frames[0].planes[0]
    assert luma[2:12, 2:12].max() <= 17
    assert luma[44:54, 84:94].max() <= 17
    assert luma[20:30, 20:30].max() > 30
    beyond = ReadOptions(filters=FilterOptions(crop=Region(0, 0, 65, 10)))
    with pytest.raises(SourceOpenError, match=r"--crop 0,0,65,10 reaches beyond"):
        open_source(str(tmp_path / "in.mkv"), beyond)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_comes_before_masks(tmp_path: Path, degrees: int) -> None:
    write_media(tmp_path / "in.mkv", audio=None)
    with open_source(str(tmp_path / "in.mkv"), ReadOptions()) as source:
        plain = next(iter(source)).planes[0]
    filters = FilterOptions(rotate=degrees, masks=(Region(0, 0, 8, 4),))
    with open_source(str(tmp_path / "in.mkv"), ReadOptions(filters=filters)) as source:
        turned = next(iter(source)).planes[0]
        assert (source.info.height, source.info.width) == turned.shape
    expected = np.rot90(plain, -degrees // 90)
    assert turned[:4, :8].max() <= 17
    np.testing.assert_array_equal(turned[4:], expected[4:])


def test_sound_is_kept_from_a_pipe_and_a_file_url(tmp_path: Path) -> None:
    write_media(tmp_path / "in.mkv")
    before = stream_times(tmp_path / "in.mkv", "audio")
    roundtrip(f"file://{tmp_path}/in.mkv", tmp_path / "a.mkv", FAST)
    assert len(stream_times(tmp_path / "a.mkv", "audio")) == len(before)
    with subprocess.Popen(["cat", tmp_path / "in.mkv"], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        roundtrip(f"/dev/fd/{cat.stdout.fileno()}", tmp_path / "b.mkv", FAST)
    assert len(stream_times(tmp_path / "b.mkv", "audio")) == len(before)


def test_a_failed_write_says_where_the_rest_is(tmp_path: Path) -> None:
    write_media(tmp_path / "in.mkv")
    (tmp_path / "out.mkv").write_bytes(b"an older one")
    with pytest.raises(SinkError, match="already exists"):
        roundtrip(tmp_path / "in.mkv", tmp_path / "out.mkv", FAST)


@pytest.mark.parametrize("late", ["subtitles", "sound", "none"])
def test_mp4_is_on_disk_early_whatever_begins_late(tmp_path: Path, late: str) -> None:
    """Neither memory nor a crash must swallow the time before the first line."""
    write_media(
        tmp_path / "in.mkv",
        seconds=16,
        audio="ac3" if late == "sound" else None,
        audio_from_s=15,
        subtitles=[(15, 16, "FIN")] if late == "subtitles" else (),
    )
    with open_source(str(tmp_path / "in.mkv")) as source:
        sink = open_sink(
            str(tmp_path / "out.mp4"),
            source.info,
            encoder=FAST,
            beside=beside_of(source),
        )
        with sink:
            for index, frame in enumerate(source):
                sink.write(frame)
                if index == 14 * RATE and late == "sound":
                    assert (tmp_path / "out.part.mp4").stat().st_size > 10_000
                elif index == 14 * RATE:
                    assert num_frames(tmp_path / "out.part.mp4") > RATE
    before = [stream_times(tmp_path / "in.mkv", k) for k in ("audio", "subtitle")]
    after = [stream_times(tmp_path / "out.mp4", k) for k in ("audio", "subtitle")]
    assert after[0] == pytest.approx(before[0], abs=2e-3)
    assert after[1][-1:] == pytest.approx(before[1][-1:], abs=1.1)
    assert num_frames(tmp_path / "out.mp4") == 16 * RATE


@pytest.mark.parametrize("name", ["cctv.mp4", "night_street.mp4"])
@pytest.mark.parametrize("target", ["mp4", "mkv", "ts"])
def test_samples_keep_what_ffmpeg_keeps(tmp_path: Path, name: str, target: str) -> None:
    """Streams and packets, against ``ffmpeg -c copy``, for the first second."""
    sample = Path(__file__).parents[2] / "samples" / name
    part, ours, theirs = (
        tmp_path / each for each in ("part.mkv", f"ours.{target}", f"theirs.{target}")
    )
    ffmpeg("-i", sample, "-t", 1, "-map", "0:v", "-map", "0:a?", "-c", "copy", part)
    ffmpeg("-i", part, "-map", 0, "-c", "copy", theirs)
    roundtrip(part, ours, FAST)
    assert stream_codecs(ours)[1:] == stream_codecs(theirs)[1:]
    for kind in ("video", "audio"):
        assert len(stream_times(ours, kind)) == len(stream_times(theirs, kind))


def test_sound_does_not_drift_where_times_are_coarse(tmp_path: Path) -> None:
    """TrueHD has 1,200 packets a second, and Matroska milliseconds."""
    codecs = ("-c:v", "mpeg4", "-c:a", "truehd", "-strict", -2)
    ffmpeg(*SCENE, *SOUND, *codecs, tmp_path / "in.mkv")
    roundtrip(tmp_path / "in.mkv", tmp_path / "out.mkv", FAST)
    before = stream_times(tmp_path / "in.mkv", "audio")
    assert stream_times(tmp_path / "out.mkv", "audio") == pytest.approx(before)


@pytest.mark.parametrize("source", ["mkv", "mp4", "ts", "nut"])
@pytest.mark.parametrize("target", ["mp4", "mkv", "ts", "avi"])
def test_a_sound_track_without_sound(tmp_path: Path, source: str, target: str) -> None:
    """Cameras declare one whether they have a microphone or not."""
    path = tmp_path / f"in.{source}"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=RATE)
        assert isinstance(pictures, av.VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        container.add_stream("aac", rate=48000)
        container.start_encoding()
        for index in range(RATE):
            frame = video_frame(moving_gradient(64, 48, index), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
    roundtrip(path, tmp_path / f"out.{target}", FAST)
    assert num_frames(tmp_path / f"out.{target}") == RATE


def test_sound_without_a_decoder_is_left_out_with_a_note(tmp_path: Path) -> None:
    write_media(tmp_path / "plain.mkv", audio="aac")
    data = (tmp_path / "plain.mkv").read_bytes()
    (tmp_path / "in.mkv").write_bytes(data.replace(b"A_AAC", b"A_XYZ"))
    (note,) = roundtrip(tmp_path / "in.mkv", tmp_path / "out.mp4", FAST)
    assert "audio stream 1 is left out" in note
    assert num_frames(tmp_path / "out.mp4") == RATE


def test_an_input_that_filters_do_not_reach(tmp_path: Path) -> None:
    filters = FilterOptions(crop=Region(0, 0, 8, 8))
    with pytest.raises(
        ConfigError, match=r"stdin cannot be turned, cropped.*ffmpeg first"
    ):
        open_source("-", ReadOptions(filters=filters))
