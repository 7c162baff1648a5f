"""Chroma location, HDR10, stereo and 360-degree tags, by codec and container."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamdenoise.frame import MasteringDisplay, PictureTags, StreamInfo
from streamdenoise.io.ffmpeg.encoder import unchanged_priority
from streamdenoise.io.ffmpeg.picture_options import picture_options
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.protocols import beside_of
from streamdenoise.jobs.job import loss_notes
from tests.support.clips import moving_gradient, video_frame

P3_D65 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329))
DISPLAY = MasteringDisplay(P3_D65, (0.005, 1000.0))
X265_DISPLAY = (
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,50):max-cll=1000,400"
)


def write(
    path: Path, codec: str, options: dict[str, str], pix_fmt: str = "yuv420p"
) -> Path:
    depth = 10 if pix_fmt.endswith("10le") else 8
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.options = dict(options)
        with unchanged_priority():
            container.start_encoding()
        for index in range(4):
            frame = video_frame(moving_gradient(64, 48, index, depth), pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copied(
    source: Path, target: Path, encoder: EncoderConfig | None
) -> tuple[StreamInfo, tuple[str, ...]]:
    """Copy a clip; returns what the copy says, and the sink's notes."""
    with (
        open_source(str(source)) as frames,
        open_sink(
            str(target), frames.info, encoder=encoder, beside=beside_of(frames)
        ) as sink,
    ):
        for frame in frames:
            sink.write(frame)
    with open_source(str(target)) as again:
        return again.info, sink.notes


def preset(codec: str) -> str | None:
    return {"svtav1": "12", "x264": "ultrafast", "x265": "ultrafast"}.get(codec)


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        *(("x264", suffix) for suffix in (".mp4", ".mkv", ".mov", ".ts", ".avi")),
        *(("x265", suffix) for suffix in (".mp4", ".mkv", ".ts")),
        *(("ffv1", ".mkv"), ("vp9", ".webm"), ("svtav1", ".mkv")),
    ],
)
def test_chroma_location_is_kept(
    tmp_path: Path, location: str, codec: str, suffix: str
) -> None:
    options = {"chroma_sample_location": location}
    source = write(tmp_path / "in.mkv", "libx264", options)
    config = EncoderConfig(codec, preset=preset(codec))
    info, notes = copied(source, tmp_path / f"out{suffix}", config)
    assert info.tags.chroma_location == location
    assert notes == ()


@pytest.mark.parametrize(
    ("codec", "suffix", "location", "is_noted"),
    [
        ("svtav1", ".mp4", "topleft", False),
        ("svtav1", ".mp4", "center", True),
        ("ffv1", ".avi", "topleft", True),
        ("ffv1", ".avi", "left", False),
    ],
)
def test_a_chroma_location_that_is_lost_is_noted(
    tmp_path: Path, codec: str, suffix: str, location: str, *, is_noted: bool
) -> None:
    options = {"chroma_sample_location": location}
    source = write(tmp_path / "in.mkv", "libx264", options)
    config = EncoderConfig(codec, preset=preset(codec))
    info, notes = copied(source, tmp_path / f"out{suffix}", config)
    kept = info.tags.chroma_location in (location, "" if location == "left" else None)
    assert kept != is_noted
    assert [f"chroma location {location}" in note for note in notes] == [True] * (
        is_noted
    )


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        *((codec, ".mp4") for codec in ("x264", "x265", "svtav1", None)),
        *((codec, ".mkv") for codec in ("x264", "x265", "svtav1", None)),
        ("x265", ".ts"),
    ],
)
def test_hdr10_is_kept(tmp_path: Path, codec: str | None, suffix: str) -> None:
    options = {"x265-params": f"log-level=none:{X265_DISPLAY}"}
    source = write(tmp_path / "in.mkv", "libx265", options, "yuv420p10le")
    config = codec and EncoderConfig(codec, preset=preset(codec))
    info, notes = copied(source, tmp_path / f"out{suffix}", config or None)
    assert info.tags.content_light == (1000, 400)
    display = info.tags.mastering_display
    assert display is not None
    for got, wanted in zip(display.primaries, P3_D65, strict=True):
        assert got == pytest.approx(wanted, abs=1e-4)
    assert display.luminance == pytest.approx(DISPLAY.luminance, rel=0.01)
    assert notes == ()


def test_hdr10_that_is_lost_is_noted_once(tmp_path: Path) -> None:
    options = {"x265-params": f"log-level=none:{X265_DISPLAY}"}
    source = write(tmp_path / "in.mkv", "libx265", options, "yuv420p10le")
    _, notes = copied(source, tmp_path / "out.mkv", EncoderConfig("ffv1"))
    (note,) = notes
    assert "HDR10 mastering display and light level are left out" in note


def test_a_light_level_alone_is_kept(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:max-cll=500,100"}
    source = write(tmp_path / "in.mkv", "libx265", options, "yuv420p10le")
    info, _ = copied(source, tmp_path / "out.mp4", None)
    assert info.tags.content_light == (500, 100)
    assert info.tags.mastering_display is None


@pytest.mark.parametrize(
    ("codec", "suffix", "packing", "stereo", "is_kept"),
    [
        ("x264", ".mp4", "3", "left_right", True),
        ("x264", ".mp4", "4", "top_bottom", True),
        ("x264", ".mkv", "3", "left_right", True),
        ("ffv1", ".mkv", "4", "top_bottom", True),
        ("vp9", ".webm", "3", "left_right", True),
        ("x265", ".mp4", "3", "left_right", False),
    ],
)
def test_both_eyes_are_kept_or_noted(
    tmp_path: Path, codec: str, suffix: str, packing: str, stereo: str, *, is_kept: bool
) -> None:
    options = {"x264-params": f"frame-packing={packing}"}
    source = write(tmp_path / "in.mp4", "libx264", options)
    with open_source(str(source)) as opened:
        assert opened.info.tags.stereo == stereo
    config = EncoderConfig(codec, preset=preset(codec))
    info, notes = copied(source, tmp_path / f"out{suffix}", config)
    assert info.tags.stereo == (stereo if is_kept else "")
    assert [f"stereo layout {stereo}" in note for note in notes] == [True] * (
        not is_kept
    )


def test_360_degree_tags_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "in.mp4", "libx264", {})
    _make_spherical(path)
    with open_source(str(path)) as opened:
        assert loss_notes(opened, "out.mp4") == [
            "out.mp4: 360-degree (spherical) data is left out"
        ]


def _make_spherical(path: Path) -> None:
    """Append Google's box to the only track of an MP4 that ends with its `moov`."""
    xml = (
        b'<?xml version="1.0"?><rdf:SphericalVideo><GSpherical:Spherical>true'
        b"</GSpherical:Spherical><GSpherical:Stitched>true</GSpherical:Stitched>"
        b"<GSpherical:StitchingSoftware>Tests</GSpherical:StitchingSoftware>"
        b"<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>"
        b"</rdf:SphericalVideo>"
    )
    uuid = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
    box = (8 + len(uuid) + len(xml)).to_bytes(4, "big") + b"uuid" + uuid + xml
    data = bytearray(path.read_bytes())
    end = len(data)
    for name in (b"moov", b"trak"):
        start = data.rindex(name) - 4
        size = int.from_bytes(data[start : start + 4], "big")
        data[start : start + 4] = (size + len(box)).to_bytes(4, "big")
        end = start + size
    data[end:end] = box
    path.write_bytes(data)


def test_tags_without_a_place_give_no_options() -> None:
    assert picture_options("ffv1", "matroska", "yuv420p", PictureTags()) == ({}, [])
    located = PictureTags(chroma_location="topleft")
    # Chroma that is not smaller has no location.
    assert picture_options("libx264", "mp4", "yuv444p", located) == ({}, [])
