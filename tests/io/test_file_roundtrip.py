"""A file that is read and written without denoising stays the same."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from streamdenoise.io.ffmpeg.subtitles import subtitle_payload, subtitle_text
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.protocols import beside_of
from tests.support.clips import Clip, moving_gradient, video_frame, write_clip
from tests.support.media import roundtrip

FFV1 = EncoderConfig("ffv1")


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        streams = [each for each in container.streams if each.type == kind]
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(streams)
            if packet.pts is not None
        ]


def decoded(path: Path) -> list[tuple[np.ndarray, ...]]:
    with open_source(str(path)) as source:
        return [frame.planes for frame in source]


@pytest.mark.parametrize("name", ["clip", "clip_10bit", "odd_clip", "vfr_clip"])
def test_ffv1_is_bit_exact_with_exact_pts(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    clip: Clip = request.getfixturevalue(name)
    target = tmp_path / "out.mkv"
    assert roundtrip(clip.path, target, FFV1) == ()
    with open_source(str(clip.path)) as before, open_source(str(target)) as after:
        assert before.info == after.info
        frames = list(after)
        assert [frame.pts for frame in frames] == list(clip.pts)
        assert {frame.color for frame in frames} == {before.info.color}
    for frame, planes in zip(frames, clip.frames, strict=True):
        for got, expected in zip(frame.planes, planes, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_gray_stays_gray(tmp_path: Path, pix_fmt: str) -> None:
    clip = write_clip(tmp_path / "gray.mkv", pix_fmt=pix_fmt)
    target = tmp_path / "out.mkv"
    roundtrip(clip.path, target, FFV1)
    with open_source(str(target)) as source:
        assert source.info.pix_fmt == pix_fmt
        for frame, planes in zip(source, clip.frames, strict=True):
            np.testing.assert_array_equal(frame.planes[0], planes[0])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("codec", ["x264", "x265", "svtav1"])
def test_codecs_keep_tags_pts_and_depth(
    clip_10bit: Clip, tmp_path: Path, suffix: str, codec: str
) -> None:
    if (suffix, codec) == (".mov", "svtav1"):
        with pytest.raises(OSError, match=r"not support svtav1; choose .*\.mkv"):
            roundtrip(clip_10bit.path, tmp_path / "out.mov", EncoderConfig(codec))
        return
    target = tmp_path / f"out{suffix}"
    preset = "12" if codec == "svtav1" else "ultrafast"
    roundtrip(clip_10bit.path, target, EncoderConfig(codec, preset=preset))
    with open_source(str(clip_10bit.path)) as before, open_source(str(target)) as after:
        assert after.info.pix_fmt == "yuv420p10le"
        assert after.info.color == before.info.color
        times = [frame.pts * frame.time_base for frame in after]
    assert times == [pts * clip_10bit.time_base for pts in clip_10bit.pts]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_vfr_pts_are_exact_with_b_frames(
    vfr_clip: Clip, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    roundtrip(vfr_clip.path, target, EncoderConfig("x264"))
    with open_source(str(target)) as source:
        times = [frame.pts * frame.time_base for frame in source]
    assert times == [pts * vfr_clip.time_base for pts in vfr_clip.pts]


def test_mp4_keeps_pts_with_a_late_first_frame_and_a_fine_time_base(
    tmp_path: Path,
) -> None:
    clip = write_clip(
        tmp_path / "late.mp4",
        codec="libx264",
        time_base=Fraction(1, 90000),
        pts=lambda index: 1000 + 3003 * index + 7 * (index % 3),
        prepare=lambda s: setattr(s, "options", {"movie_timescale": "90000"}),
    )
    with open_source(str(clip.path)) as source:
        before = [frame.pts * frame.time_base for frame in source]
    roundtrip(clip.path, tmp_path / "out.mp4", EncoderConfig("x264"))
    with open_source(str(tmp_path / "out.mp4")) as source:
        after = [frame.pts * frame.time_base for frame in source]
    assert after == before


def test_all_other_streams_and_metadata_are_copied(
    rich_clip: Clip, tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    assert roundtrip(rich_clip.path, target, EncoderConfig("x264")) == ()
    for kind in ("audio", "subtitle"):
        before, after = packets(rich_clip.path, kind), packets(target, kind)
        assert before == after
        assert before
    with av.open(str(rich_clip.path)) as before, av.open(str(target)) as after:
        assert after.chapters() == before.chapters()
        assert after.metadata["title"] == before.metadata["title"]
        assert {k.lower(): v for k, v in after.metadata.items()}[
            "comment"
        ] == "for tests"
        kinds = [stream.type for stream in before.streams]
        assert [stream.type for stream in after.streams] == kinds
        for old, new in zip(before.streams, after.streams, strict=True):
            assert new.metadata.get("language") == old.metadata.get("language")
            assert new.metadata.get("title") == old.metadata.get("title")
        attachment = after.streams.attachments[0]
        assert (attachment.name, attachment.mimetype) == ("font.ttf", "font/ttf")
        assert attachment.data == b"not really a font"
        assert after.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert next(after.decode(video=0)).rotation == 90


def test_mp4_keeps_audio_chapters_and_rotation_and_converts_subtitles(
    rich_clip: Clip, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    notes = roundtrip(rich_clip.path, target)
    assert any("converted to mov_text" in note for note in notes)
    assert any("is left out: mp4 does not support it" in note for note in notes)
    assert len(notes) == 2
    audio = packets(target, "audio")
    expected = packets(rich_clip.path, "audio")
    assert [data for _, data in audio] == [data for _, data in expected]
    np.testing.assert_allclose(
        [time for time, _ in audio], [time for time, _ in expected], atol=0.001
    )
    texts = [data for _, data in packets(target, "subtitle") if len(data) > 2]
    assert [text[2:].decode() for text in texts] == ["Ligne 5: é", "Ligne 30: é"]
    with av.open(str(target)) as container:
        titles = [each["metadata"]["title"] for each in container.chapters()]
        assert titles == ["Dusk", "Night"]
        assert next(container.decode(video=0)).rotation == 90
    with open_source(str(target)) as source:
        assert [frame.pts * frame.time_base for frame in source] == [
            pts * rich_clip.time_base for pts in rich_clip.pts
        ]


def test_mp4_subtitles_are_converted_back_to_srt(
    rich_clip: Clip, tmp_path: Path
) -> None:
    roundtrip(rich_clip.path, tmp_path / "a.mp4")
    notes = roundtrip(tmp_path / "a.mp4", tmp_path / "b.mkv", FFV1)
    assert any("mov_text) is converted to subrip" in note for note in notes)
    texts = [data for _, data in packets(tmp_path / "b.mkv", "subtitle") if data]
    assert texts == ["Ligne 5: é".encode(), "Ligne 30: é".encode()]


def test_a_finished_mp4_is_a_plain_file(rich_clip: Clip, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    roundtrip(rich_clip.path, target)
    data, offset, boxes = target.read_bytes(), 0, []
    while offset < len(data):
        boxes.append(data[offset + 4 : offset + 8].decode())
        offset += int.from_bytes(data[offset : offset + 4], "big")
    assert boxes == ["ftyp", "free", "mdat", "moov"]


def test_start_and_duration_apply_to_all_streams(
    rich_clip: Clip, tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    roundtrip(rich_clip.path, target, FFV1, start_s=1.0, duration_s=0.5)
    with open_source(str(target)) as source:
        frames = list(source)
    assert [frame.time_s for frame in frames] == [
        pytest.approx(index * 0.04) for index in range(13)
    ]
    with open_source(str(rich_clip.path)) as source:
        wanted = [frame for frame in source if 1.0 <= frame.time_s < 1.5]
    for got, expected in zip(frames, wanted, strict=True):
        np.testing.assert_array_equal(got.planes[0], expected.planes[0])
    audio = packets(target, "audio")
    inside = [each for each in packets(rich_clip.path, "audio") if 1 <= each[0] < 1.5]
    assert [data for _, data in audio] == [data for _, data in inside]
    assert [time for time, _ in audio] == pytest.approx([t - 1 for t, _ in inside])
    (subtitle,) = packets(target, "subtitle")
    assert subtitle == (pytest.approx(0.2), "Ligne 30: é".encode())
    with av.open(str(target)) as container:
        (chapter,) = container.chapters()
    assert chapter["metadata"]["title"] == "Night"
    assert chapter["start"] == 0
    assert chapter["time_base"] is not None
    assert chapter["end"] * chapter["time_base"] == Fraction(1, 2)


def test_a_job_cut_short_cuts_the_audio_too(rich_clip: Clip, tmp_path: Path) -> None:
    long = tmp_path / "long.mkv"
    _write_with_tone(long, seconds=6)
    target = tmp_path / "out.mkv"
    with (
        open_source(str(long)) as source,
        open_sink(
            str(target), source.info, encoder=FFV1, beside=beside_of(source)
        ) as sink,
    ):
        for frame in source:
            if frame.time_s >= 1.0:
                break
            sink.write(frame)
    last = max(time for time, _ in packets(target, "audio"))
    assert 0.8 < last < 1.1


def test_a_lost_pixel_aspect_ratio_is_noted(rich_clip: Clip, tmp_path: Path) -> None:
    (note,) = roundtrip(rich_clip.path, tmp_path / "out.mkv", FFV1)
    assert "pixel aspect ratio 4:3 is left out" in note


def test_audio_longer_than_the_video_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "long.mkv"
    _write_with_tone(source, seconds=6, video_seconds=1)
    roundtrip(source, tmp_path / "out.mkv", FFV1)
    assert packets(tmp_path / "out.mkv", "audio") == packets(source, "audio")


def _write_with_tone(
    path: Path, *, seconds: int, video_seconds: int | None = None
) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=8000)
        for index in range(25 * seconds):
            if video_seconds is None or index < 25 * video_seconds:
                frame = video_frame(moving_gradient(64, 48, index % 50), "yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(video.encode(frame))
            tone = np.full((1, 640), index, np.int16)
            samples = av.AudioFrame.from_ndarray(tone, "s16", "stereo")
            samples.sample_rate = 8000
            samples.pts, samples.time_base = index * 320, Fraction(1, 8000)
            container.mux(audio.encode(samples))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


@pytest.mark.parametrize(
    ("codec", "suffix", "family"),
    [
        ("libx264", ".mp4", "h264"),
        ("mpeg4", ".mp4", "mpeg4"),
        ("mjpeg", ".mkv", "mjpeg"),
        ("ffv1", ".mkv", "ffv1"),
        ("libvpx-vp9", ".mkv", "vp9"),
        ("libx265", ".mkv", "hevc"),
        ("prores_ks", ".mov", "prores"),
        ("huffyuv", ".avi", "h264"),
    ],
)
def test_copy_settings_keeps_the_codec_family(
    tmp_path: Path, codec: str, suffix: str, family: str
) -> None:
    formats = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le", "huffyuv": "yuv422p"}
    source = tmp_path / f"in{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = formats.get(codec, "yuv420p")
        if codec == "mjpeg":
            stream.codec_context.color_range = 2
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=error"}
        for index in range(6):
            frame = video_frame(moving_gradient(64, 48, index), "yuv420p")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    notes = roundtrip(source, tmp_path / f"out{suffix}", EncoderConfig("copy-settings"))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == family
        assert len(list(container.decode(video=0))) == 6
    if codec == "huffyuv":
        assert any("no encoder for huffyuv" in note for note in notes)
    before, after = decoded(source), decoded(tmp_path / f"out{suffix}")
    error = np.abs(before[0][0].astype(int) - after[0][0]).mean()
    assert error < (40 if after[0][0].dtype == np.uint16 else 10)


def test_cover_art_is_kept_and_a_lost_second_video_is_noted(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as container:
        first = container.add_stream("libx264", rate=25)
        second = container.add_stream("libx264", rate=25)
        cover = container.add_stream("mjpeg", rate=1)
        cover.disposition = Disposition.attached_pic
        cover.codec_context.color_range = 2
        for stream in (first, second, cover):
            stream.width, stream.height = 64, 48
        cover.pix_fmt = "yuvj420p"
        for index in range(5):
            for stream in (first, second):
                frame = video_frame(moving_gradient(64, 48, index), "yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            if index == 0:
                frame = video_frame(moving_gradient(64, 48, 9), "yuvj420p")
                frame.pts, frame.time_base = 0, Fraction(1)
                container.mux(cover.encode(frame))
        for stream in (first, second, cover):
            container.mux(stream.encode(None))
    notes = roundtrip(source, tmp_path / "out.mp4")
    assert len(notes) == 1
    assert "only one video is denoised" in notes[0]
    with av.open(str(tmp_path / "out.mp4")) as container:
        video, art = container.streams.video
        assert art.disposition & Disposition.attached_pic
        assert len(list(container.decode(video))) == 5
    art_before, art_after = (
        [bytes(p) for p in av.open(str(path)).demux(video=index) if p.size]
        for path, index in ((source, 2), (tmp_path / "out.mp4", 1))
    )
    assert art_before == art_after
    assert art_before


@pytest.mark.parametrize(
    ("codec", "data", "text"),
    [
        ("ass", b"0,0,Default,,0,0,0,,{\\i1}Hi{\\i0}, you\\Nthere", "Hi, you\nthere"),
        ("subrip", b"<i>Hi</i> there", "Hi there"),
        ("webvtt", b"<v Roger>Hi", "Hi"),
        ("mov_text", b"\0\2Hi\0\0\0\x0cstyl", "Hi"),
    ],
)
def test_subtitle_text(codec: str, data: bytes, text: str) -> None:
    assert subtitle_text(codec, data) == text
    assert subtitle_text("mov_text", subtitle_payload("mov_text", text)) == text
