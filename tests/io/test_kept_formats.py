"""Pixel formats by codec and container: what goes in comes out, or a note says why."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamdenoise.errors import SinkError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.planar import planar_format
from streamdenoise.io.ffmpeg.codecs import ENCODERS, encoded_pix_fmt
from streamdenoise.io.ffmpeg.encoder import unchanged_priority
from streamdenoise.io.ffmpeg.pixel_formats import original_pix_fmt, planar_pix_fmt
from streamdenoise.io.ffmpeg.planes import frame_of, original_planes_of
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import CODECS, EncoderConfig, ReadOptions
from streamdenoise.io.protocols import beside_of
from streamdenoise.io.sinks.file import FileSink
from streamdenoise.io.sources.y4m import Y4MSource
from tests.support.frames import noise_frame

WIDTH, HEIGHT, FRAMES = 320, 192, 3
KEEP = ReadOptions(keep_original=True)
LIMITED = ColorInfo(matrix=1, range=1, primaries=1, transfer=1)


def picture(pix_fmt: str, index: int = 0) -> tuple[np.ndarray, ...]:
    """Color bars over a ramp that uses every bit, with some noise; alpha is a ramp."""
    form = planar_format(pix_fmt)
    assert form is not None
    rng = np.random.default_rng(index)
    planes = []
    for number, (height, width) in enumerate(form.plane_shapes(WIDTH, HEIGHT)):
        rows, columns = np.indices((height, width), float)
        rows, columns = rows / height, columns / width
        ramp = 0.3 + 0.4 * columns
        bars = 0.5 + 0.15 * np.sin(np.floor(columns * 8) * (number + 1) * 2)
        share = np.where(rows < 0.5, ramp, bars) + rng.normal(0, 0.004, rows.shape)
        if form.has_alpha and number == form.colors:
            share = columns
        dtype = np.uint8 if form.depth == 8 else np.uint16
        planes.append((share * form.peak).round().clip(0, form.peak).astype(dtype))
    return tuple(planes)


def write(
    path: Path,
    codec: str,
    pix_fmt: str,
    options: dict[str, str] | None = None,
    *,
    matrix: int = 1,
    rotation: int = 0,
) -> Path:
    """A clip of `picture` in a format that `codec` takes."""
    planar = planar_pix_fmt(pix_fmt)
    form = planar_format(planar)
    assert form is not None
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        stream.options = dict(options or {})
        context = stream.codec_context
        if rotation:
            stream.set_display_rotation(rotation)
        is_rgb = form.kind == "rgb"
        context.colorspace = 0 if is_rgb else matrix
        context.color_range = 2 if is_rgb else 1
        context.color_primaries = context.color_trc = 1
        with unchanged_priority():
            container.start_encoding()
        for index in range(FRAMES):
            frame = frame_of(picture(planar, index), planar)
            if planar != pix_fmt:
                frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copied(
    source: Path, target: Path, encoder: EncoderConfig | None = None
) -> tuple[str, ...]:
    """Copy a clip with our source and sink; returns all notes."""
    with (
        open_source(str(source), KEEP) as frames,
        open_sink(
            str(target), frames.info, encoder=encoder, beside=beside_of(frames)
        ) as sink,
    ):
        for frame in frames:
            sink.write(frame)
    return (*frames.info.notes, *sink.notes)


def samples(path: Path) -> tuple[str, list[tuple[np.ndarray, ...]]]:
    """Planar format and planes of all frames, with alpha where libvpx is needed."""
    with open_source(str(path), KEEP) as source:
        frames = list(source)
    name = source.info.original_pix_fmt or source.info.pix_fmt
    return name, [
        frame.planes if frame.original is None else frame.original.planes
        for frame in frames
    ]


LOSSLESS = sorted(
    {planar_pix_fmt(name) for name in ENCODERS["ffv1"].pix_fmts} - {"gbrap14le"}
)


@pytest.mark.parametrize("pix_fmt", LOSSLESS)
def test_ffv1_keeps_every_format_to_the_bit(tmp_path: Path, pix_fmt: str) -> None:
    stored = {"gbrp": "bgr0", "gbrap": "bgra"}.get(pix_fmt, pix_fmt)
    source = write(tmp_path / "in.mkv", "ffv1", stored)
    assert copied(source, tmp_path / "out.mkv", EncoderConfig("ffv1")) == ()
    before, after = samples(source), samples(tmp_path / "out.mkv")
    assert before[0] == after[0] == pix_fmt
    for index, (one, other) in enumerate(zip(before[1], after[1], strict=True)):
        for got, wanted, made in zip(one, other, picture(pix_fmt, index), strict=True):
            np.testing.assert_array_equal(got, wanted)
            np.testing.assert_array_equal(got, made)


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt"),
    [
        *(("x264", ".mp4", f"yuv{c}p{d}") for c in (422, 444) for d in ("", "10le")),
        *(("x265", ".mp4", f"yuv{c}p{d}") for c in (422, 444) for d in ("10le",)),
        *(("x265", ".mkv", f"yuv{c}p12le") for c in (420, 422, 444)),
        ("x265", ".mov", "gray12le"),
        ("x265", ".mkv", "gbrp10le"),
        ("x264rgb", ".mkv", "gbrp"),
        ("x264rgb", ".mp4", "gbrp"),
        ("prores", ".mov", "yuv422p10le"),
        ("prores", ".mkv", "yuv422p10le"),
        ("dnxhr", ".mov", "yuv422p"),
        ("dnxhr", ".mov", "yuv422p10le"),
        ("dnxhr", ".mov", "yuv444p10le"),
        ("vp9", ".webm", "yuv444p"),
        ("vp9", ".webm", "yuva420p"),
        ("vp9", ".mkv", "yuv440p"),
    ],
)
def test_codecs_keep_what_they_have(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str
) -> None:
    """The format comes back without a note, and each plane looks the same."""
    stored = {"gbrp": "bgr0"}.get(pix_fmt, pix_fmt)
    source = write(tmp_path / "in.mkv", "ffv1", stored)
    target = tmp_path / f"out{suffix}"
    fast = "ultrafast" if codec.startswith("x26") else None
    assert copied(source, target, EncoderConfig(codec, preset=fast)) == ()
    name, frames = samples(target)
    assert name == pix_fmt
    form = planar_format(pix_fmt)
    assert form is not None
    assert len(frames) == FRAMES
    for got, wanted in zip(frames[0], picture(pix_fmt), strict=True):
        assert psnr_db(wanted, got, form.peak) > 33


Y4M = (
    *("yuv422p", "yuv444p", "yuva444p", "gray9le", "gray12le", "gray16le"),
    *(f"yuv{c}p{d}le" for c in (422, 444) for d in (9, 10, 12, 14, 16)),
    *(f"yuv420p{d}le" for d in (9, 12, 14, 16)),
)


@pytest.mark.parametrize("pix_fmt", Y4M)
def test_yuv4mpegpipe_keeps_formats_to_the_bit(tmp_path: Path, pix_fmt: str) -> None:
    """As we read it, and as FFmpeg does."""
    source = write(tmp_path / "in.mkv", "ffv1", pix_fmt)
    target = tmp_path / "out.y4m"
    assert copied(source, target) == ()
    name, frames = samples(target)
    assert name == pix_fmt
    with Y4MSource(target.open("rb"), "stdin", KEEP) as pipe:
        assert pipe.info.original_pix_fmt == pix_fmt
        for index, frame in enumerate(pipe):
            assert frame.original is not None
            for got, again, made in zip(
                frame.original.planes,
                frames[index],
                picture(pix_fmt, index),
                strict=True,
            ):
                np.testing.assert_array_equal(got, made)
                np.testing.assert_array_equal(again, made)


@pytest.mark.parametrize(
    ("pix_fmt", "stored"),
    [("yuva422p10le", "yuv422p10le"), ("bgr0", "yuv420p"), ("yuva420p", "yuv420p")],
)
def test_what_yuv4mpegpipe_lacks_is_noted(
    tmp_path: Path, pix_fmt: str, stored: str
) -> None:
    source = write(tmp_path / "in.mkv", "ffv1", pix_fmt)
    (note,) = copied(source, tmp_path / "out.y4m")
    assert f"is stored as {stored}, as yuv4mpegpipe has no such format" in note
    assert samples(tmp_path / "out.y4m")[0] == stored


def test_a_pipe_of_4_2_2_is_read_as_4_2_0_where_nobody_wants_more(
    tmp_path: Path,
) -> None:
    copied(write(tmp_path / "in.mkv", "ffv1", "yuv422p"), tmp_path / "out.y4m")
    with Y4MSource((tmp_path / "out.y4m").open("rb"), "stdin", ReadOptions()) as pipe:
        assert pipe.info.notes == ("stdin: yuv422p is converted to yuv420p",)
        frames = list(pipe)
    assert len(frames) == FRAMES
    assert {frame.pix_fmt for frame in frames} == {"yuv420p"}


def test_prores_4444_keeps_alpha(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", "ffv1", "yuva444p10le")
    assert copied(source, tmp_path / "out.mov", EncoderConfig("prores")) == ()
    name, frames = samples(tmp_path / "out.mov")
    form = planar_format(name)
    assert form is not None
    assert (form.kind, form.has_alpha, form.chroma_shift) == ("yuv", True, (0, 0))
    # FFmpeg decodes 4444 to 12 bits.
    alpha = frames[0][-1] >> (form.depth - 10)
    assert np.abs(alpha.astype(int) - picture("yuva444p10le")[-1]).max() <= 1


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "stored"),
    [
        ("x264", "yuv444p12le", "yuv444p10le"),
        ("x264", "yuv440p", "yuv444p"),
        ("x264", "yuv420p16le", "yuv420p10le"),
        ("x264", "gbrp", "yuv420p"),
        ("x264", "gray16le", "gray10le"),
        ("x265", "yuv422p16le", "yuv422p12le"),
        ("x265", "gbrp16le", "gbrp12le"),
        ("svtav1", "yuv422p10le", "yuv420p10le"),
        ("svtav1", "yuv444p", "yuv420p"),
        ("prores", "gbrp12le", "yuv444p10le"),
        ("prores", "yuv420p", "yuv422p10le"),
        ("dnxhr", "yuv420p12le", "yuv422p10le"),
        ("vp9", "gbrap", "yuva420p"),
        ("vp9", "yuva444p10le", "yuva444p"),
        ("ffv1", "gbrap", "bgra"),
        ("ffv1", "yuva444p14le", "yuva444p16le"),
    ],
)
def test_the_nearest_format_loses_least(codec: str, pix_fmt: str, stored: str) -> None:
    assert encoded_pix_fmt(ENCODERS[codec], pix_fmt) == stored


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "words"),
    [
        ("x264", "yuv444p12le", ["yuv444p12le is stored as yuv444p10le"]),
        ("svtav1", "yuv422p", ["yuv422p is stored as yuv420p"]),
        (
            "x264",
            "yuva444p10le",
            ["yuva444p10le is stored as yuv444p10le", "alpha is left out"],
        ),
    ],
)
def test_what_a_codec_cannot_keep_is_noted_once(
    tmp_path: Path, codec: str, pix_fmt: str, words: list[str]
) -> None:
    source = write(tmp_path / "in.mkv", "ffv1", pix_fmt)
    preset = "12" if codec == "svtav1" else "ultrafast"
    notes = copied(source, tmp_path / "out.mkv", EncoderConfig(codec, preset=preset))
    assert len(notes) == len(words)
    for note, text in zip(notes, words, strict=True):
        assert text in note


def test_alpha_that_hides_nothing_is_not_missed(tmp_path: Path) -> None:
    """Every GIF has alpha, most are opaque."""
    frame = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "bgra")))
        container.mux(stream.encode(None))
    notes = copied(tmp_path / "in.mkv", tmp_path / "out.mp4")
    assert not any("alpha is left out" in note for note in notes)


@pytest.mark.parametrize("pix_fmt", ["yuyv422", "uyvy422"])
def test_packed_video_keeps_its_chroma(tmp_path: Path, pix_fmt: str) -> None:
    source = write(tmp_path / "in.nut", "rawvideo", pix_fmt)
    assert copied(source, tmp_path / "out.mkv", EncoderConfig("ffv1")) == ()
    name, frames = samples(tmp_path / "out.mkv")
    assert name == "yuv422p"
    for got, wanted in zip(frames[0], picture("yuv422p"), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_format_can_be_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", "ffv1", "yuv422p10le")
    config = EncoderConfig("x264", preset="ultrafast", pix_fmt="yuv420p")
    assert copied(source, tmp_path / "out.mp4", config) == ()
    assert samples(tmp_path / "out.mp4")[0] == "yuv420p"
    with pytest.raises(SinkError, match=r"--pix-fmt nv12 .* libx264 takes yuv420p,"):
        copied(source, tmp_path / "b.mp4", EncoderConfig("x264", pix_fmt="nv12"))
    assert not (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffixes", "expected", "kept"),
    [
        ("libx265", "yuv420p10le", (".mp4", ".mkv", ".mov"), "hevc", "yuv420p10le"),
        ("libx265", "yuv422p12le", (".mp4",), "hevc", "yuv422p12le"),
        ("libx265", "yuv420p", (".mp4",), "h264", "yuv420p"),
        ("libx265", "yuv420p10le", (".webm",), "av1", "yuv420p10le"),
        ("libsvtav1", "yuv420p10le", (".mp4",), "av1", "yuv420p10le"),
        ("libx264", "yuv420p10le", (".mp4",), "h264", "yuv420p10le"),
        ("prores_ks", "yuv422p10le", (".mov", ".mkv"), "prores", "yuv422p10le"),
        ("prores_ks", "yuv422p10le", (".mp4",), "h264", "yuv422p10le"),
        ("ffv1", "yuv422p", (".mkv",), "h264", "yuv422p"),
        ("ffv1", "yuv422p", (".webm",), "vp9", "yuv422p"),
        ("ffv1", "yuva420p", (".webm",), "vp9", "yuva420p"),
        ("ffv1", "bgr0", (".mp4",), "h264", "yuv420p"),
    ],
)
def test_the_default_codec_suits_input_and_container(
    tmp_path: Path,
    codec: str,
    pix_fmt: str,
    suffixes: tuple[str, ...],
    expected: str,
    kept: str,
) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    container = ".mov" if codec == "prores_ks" else ".mkv"
    source = write(tmp_path / f"in{container}", codec, pix_fmt, quiet)
    for suffix in suffixes:
        target = tmp_path / f"out{suffix}"
        copied(source, target)
        with av.open(str(target)) as opened:
            context = opened.streams.video[0].codec_context
            assert context.codec.canonical_name == expected
        assert samples(target)[0] == kept


@pytest.mark.parametrize("matrix", [6, 9])
@pytest.mark.parametrize("pix_fmt", ["yuv422p10le", "yuv420p"])
def test_dnxhr_shows_the_same_colors_whatever_the_matrix(
    tmp_path: Path, matrix: int, pix_fmt: str
) -> None:
    """Its decoder takes every file for BT.709."""
    source = write(tmp_path / "in.mkv", "ffv1", pix_fmt, matrix=matrix)
    notes = copied(source, tmp_path / "out.mov", EncoderConfig("dnxhr"))
    assert sum("stored in BT.709" in note for note in notes) == 1
    shown = []
    for path in (source, tmp_path / "out.mov"):
        with open_source(str(path), ReadOptions(pix_fmt="rgb24")) as opened:
            shown.append(next(iter(opened)).planes[0])
    # Bars in the lower half; edges differ by the size of chroma.
    one, other = (each[-40:, 5::10].astype(float) for each in shown)
    assert np.median(np.abs(one - other)) <= 2


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "gray"])
def test_rgb_made_of_yuv_is_tagged_as_rgb(tmp_path: Path, pix_fmt: str) -> None:
    source = write(tmp_path / "in.mkv", "ffv1", pix_fmt)
    config = EncoderConfig("x264rgb", crf=5, preset="ultrafast")
    (note,) = copied(source, tmp_path / "out.mp4", config)
    assert f"{pix_fmt} is stored as bgr0" in note
    shown = []
    for path in (source, tmp_path / "out.mp4"):
        with open_source(str(path), ReadOptions(pix_fmt="rgb24")) as opened:
            shown.append(next(iter(opened)).planes[0])
    # Edges differ by how chroma is enlarged.
    assert np.median(np.abs(shown[0].astype(float) - shown[1])) <= 3


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("x264", "yuv444p", (65, 47)),
        ("x264", "yuv422p", (66, 47)),
        ("x265", "yuv444p", (65, 47)),
        ("ffv1", "yuv422p", (65, 47)),
        ("x264rgb", "gbrp", (65, 47)),
        ("vp9", "yuv444p", (65, 47)),
    ],
)
def test_odd_sizes_are_padded_only_where_chroma_is_half(
    tmp_path: Path, codec: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    form = planar_format(pix_fmt)
    assert form is not None
    planes = tuple(np.full(s, 90, np.uint8) for s in form.plane_shapes(65, 47))
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height = 65, 47
        stream.pix_fmt = "bgr0" if pix_fmt == "gbrp" else pix_fmt
        frame = frame_of(planes, pix_fmt).reformat(format=stream.pix_fmt)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    notes = copied(tmp_path / "in.mkv", tmp_path / "out.mkv", EncoderConfig(codec))
    with open_source(str(tmp_path / "out.mkv")) as again:
        assert (again.info.width, again.info.height) == size
    assert any("is padded to" in note for note in notes) == (size != (65, 47))


@pytest.mark.parametrize(
    ("width", "height", "padded"),
    [(4, 1024, "32x1024"), (1920, 8, "1920x32"), (4, 4, "32x32")],
)
def test_narrow_pictures_do_not_make_svtav1_hang(
    tmp_path: Path, width: int, height: int, padded: str
) -> None:
    path, frames = tmp_path / "out.mkv", 34
    info = StreamInfo(width, height, "yuv420p", Fraction(25), Fraction(1, 25))
    with FileSink(path, info, encoder=EncoderConfig("svtav1", preset="12")) as sink:
        for index in range(frames):
            sink.write(noise_frame(index, width=width, height=height))
    assert any(f"is padded to {padded}" in note for note in sink.notes)
    with open_source(str(path)) as source:
        assert len(list(source)) == frames


@pytest.mark.parametrize(
    ("suffix", "tag"), [(".mp4", "hvc1"), (".mov", "hvc1"), (".mkv", "")]
)
def test_hevc_has_the_name_that_all_players_know(
    tmp_path: Path, suffix: str, tag: str
) -> None:
    source = write(tmp_path / "in.mkv", "ffv1", "yuv420p")
    config = EncoderConfig("x265", preset="ultrafast")
    copied(source, tmp_path / f"out{suffix}", config)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.streams.video[0].codec_tag.strip("\0") == tag
        assert len(list(container.decode(video=0))) == FRAMES


def test_copy_settings_keeps_rgb_in_h264(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", "libx264rgb", "bgr0")
    config = EncoderConfig("copy-settings", crf=10)
    assert copied(source, tmp_path / "out.mkv", config) == ()
    assert samples(tmp_path / "out.mkv")[0] == "gbrp"


def test_a_change_reaches_each_kind_of_file(tmp_path: Path) -> None:
    """Frames that a denoiser changed: luma exactly, alpha not at all."""
    source = write(tmp_path / "in.mkv", "ffv1", "yuva444p10le")

    def darker(frame: Frame) -> Frame:
        luma, *chroma = frame.planes
        return frame.with_planes((luma - luma // 8, *chroma))

    with (
        open_source(str(source), KEEP) as frames,
        open_sink(
            str(tmp_path / "out.mkv"), frames.info, encoder=EncoderConfig("ffv1")
        ) as sink,
    ):
        for frame in frames:
            sink.write(darker(frame))
    _, got = samples(tmp_path / "out.mkv")
    luma, u, _, alpha = picture("yuva444p10le")
    np.testing.assert_array_equal(got[0][0], luma - luma // 8)
    np.testing.assert_array_equal(got[0][1], u)
    np.testing.assert_array_equal(got[0][3], alpha)


def test_frames_of_another_size_have_originals_too(tmp_path: Path) -> None:
    """A stream that changes its size is scaled, in its own format."""
    paths = []
    for size in ((320, 192), (160, 96)):
        path = tmp_path / f"{size[0]}.ts"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv422p"
            for index in range(3):
                planes = [
                    np.full(shape, 80 + index, np.uint8)
                    for shape in (size[::-1], *[(size[1], size[0] // 2)] * 2)
                ]
                frame = frame_of(tuple(planes), "yuv422p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        paths.append(path)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    with open_source(str(joined), KEEP) as source:
        for frame in source:
            assert frame.original is not None
            assert frame.original.planes[1].shape == (192, 160)


@pytest.mark.parametrize(
    ("pix_fmt", "kept"),
    [("yuv422p", "yuv444p"), ("yuva444p10le", "yuva444p10le"), ("bgr0", "gbrp")],
)
def test_frames_turned_upright_keep_their_samples(
    tmp_path: Path, pix_fmt: str, kept: str
) -> None:
    """4:2:2 on its side would be 4:4:0, which few codecs have."""
    source = write(tmp_path / "in.mkv", "ffv1", pix_fmt, rotation=90)
    options = ReadOptions(keep_original=True, upright=True)
    with open_source(str(source), options) as opened:
        assert (opened.info.width, opened.info.height) == (HEIGHT, WIDTH)
        assert opened.info.original_pix_fmt == kept
        frame = next(iter(opened))
    assert frame.original is not None
    assert frame.original.seen is frame.planes
    made = picture(planar_pix_fmt(pix_fmt))
    for got, plane in zip(frame.original.planes, made, strict=True):
        assert got.shape == (WIDTH, HEIGHT)
        if kept != "yuv444p" or plane is made[0]:
            np.testing.assert_array_equal(got, np.rot90(plane))


def test_every_codec_name_has_an_encoder() -> None:
    assert {*ENCODERS, "copy-settings"} == {*CODECS}
    for name, encoder in ENCODERS.items():
        for pix_fmt in encoder.pix_fmts:
            assert planar_format(planar_pix_fmt(pix_fmt)) is not None, name


def test_formats_that_frames_hold_have_no_original() -> None:
    for name in ("yuv420p", "yuvj420p", "nv12", "yuv420p10le", "p010le", "gray"):
        assert original_pix_fmt(name) is None
    for name in ("yuv411p", "xyz12le", "gbrpf32le", "bayer_rggb8"):
        assert original_pix_fmt(name) is None
    assert original_pix_fmt("yuvj422p") == "yuv422p"
    assert original_pix_fmt("gray16be") == "gray16le"
    assert original_pix_fmt("bgr0") == "gbrp"


@pytest.mark.parametrize("pix_fmt", ["ya8", "ya16le"])
def test_interleaved_alpha_comes_apart_and_together(pix_fmt: str) -> None:
    form = planar_format(pix_fmt)
    assert form is not None
    planes = picture(pix_fmt)
    for got, wanted in zip(
        original_planes_of(frame_of(planes, pix_fmt), form), planes, strict=True
    ):
        np.testing.assert_array_equal(got, wanted)
