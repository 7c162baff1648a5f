"""Encoding on the GPU, and the software fallback, which is tested without a GPU."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamdenoise.frame import StreamInfo
from streamdenoise.io.ffmpeg.codecs import ENCODERS, choose_encoder, encoded_pix_fmt
from streamdenoise.io.ffmpeg.nvenc import usable_encoder
from streamdenoise.io.ffmpeg.planes import SEMI_PLANAR, frame_of, planes_of
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import (
    NVENC_CODECS,
    NVENC_PRESETS,
    EncoderConfig,
    EncoderOptions,
)
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.jobs.live import denoise_live
from tests.support.clips import Clip, moving_gradient, write_clip
from tests.support.command import run
from tests.support.skips import skip_or_fail

TINY = StreamInfo(64, 48, "yuv420p", Fraction(25), Fraction(1, 1000))
"""Smaller than any NVENC supports: rejected with and without a GPU."""


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name


@pytest.mark.parametrize("codec", NVENC_CODECS)
def test_ffmpeg_supports_all_our_options(codec: str):
    known = av.CodecContext.create(codec, "w").supported_options
    options = {option.name: option for option in (*known.generic, *known.private)}
    for preset in NVENC_PRESETS:
        config = EncoderConfig(codec, 21, preset)
        encoder, chosen, bit_rate, _ = choose_encoder(config, None)
        assert bit_rate is None
        assert chosen == {
            "preset": preset,
            "rc": "vbr",
            "cq": "21",
            "forced-idr": "1",
        }
        for name, value in {**chosen, **encoder.low_delay}.items():
            choices = [choice.name for choice in options[name].choices]
            assert value in choices or not choices
    formats = av.Codec(codec, "w").video_formats
    assert formats is not None
    assert {*ENCODERS[codec].pix_fmts} <= {each.name for each in formats}


def test_10_bits_are_kept_if_the_codec_supports_them():
    formats = [encoded_pix_fmt(ENCODERS[c], "yuv420p10le") for c in NVENC_CODECS]
    assert formats == ["yuv420p", "p010le"]


@pytest.mark.parametrize("size", [(64, 48), (66, 50), (854, 480), (1366, 768)])
@pytest.mark.parametrize("pix_fmt", list(SEMI_PLANAR))
def test_conversion_to_semi_planar_is_lossless(size: tuple[int, int], pix_fmt: str):
    planar = SEMI_PLANAR[pix_fmt]
    planes = moving_gradient(*size, 3, 10 if planar.endswith("10le") else 8)
    for plane, same in zip(
        planes, planes_of(frame_of(planes, pix_fmt), planar), strict=True
    ):
        np.testing.assert_array_equal(plane, same)


def test_the_software_encoder_of_the_codec_takes_over_with_a_note():
    for codec, software in (("h264_nvenc", "x264"), ("hevc_nvenc", "x265")):
        used, notes = usable_encoder(EncoderConfig(codec, 21, "p6"), TINY)
        assert used == EncoderConfig(software, 21)
        (note,) = notes
        assert note.startswith(f"--codec {codec}: NVENC")
        assert "cannot encode 64x48 yuv420p here (" in note
        assert note.endswith(f"; encoded with {software}")


def test_other_encoders_are_not_tried():
    for config in (None, EncoderConfig(), EncoderConfig("copy-settings")):
        assert usable_encoder(config, TINY) == (config, [])


def test_a_file_is_encoded_in_software_with_one_note(clip: Clip, tmp_path: Path):
    plain, output = tmp_path / "plain.mp4", tmp_path / "nvenc.mp4"
    args = ["file", str(clip.path), "--strength", "0", "--crf", "21"]
    result = run(*args, "-o", plain, "--codec", "x264")
    assert "NVENC" not in result.output
    result = run(*args, "-o", output, "--codec", "h264_nvenc")
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stderr.splitlines() if "NVENC" in line]
    assert len(notes) == 1
    assert notes[0].startswith("note: --codec h264_nvenc: ")
    assert output.read_bytes() == plain.read_bytes()


def test_live_outputs_share_one_note(tmp_path: Path):
    outputs = tuple(str(tmp_path / name) for name in ("a.mkv", "b.mp4"))
    config = LiveConfig(
        "testsrc:64x48@50", outputs, encoder=EncoderOptions("hevc_nvenc"), window=False,
        duration_s=0.2,
    )  # fmt: skip
    notes = denoise_live(config).notes
    assert len([note for note in notes if "NVENC" in note]) == 1
    assert [codec_of(Path(name)) for name in outputs] == ["hevc", "hevc"]


@pytest.fixture(scope="session")
def nvenc() -> None:
    """Skips or fails a test unless a GPU has NVENC."""
    info = StreamInfo(320, 240, "yuv420p", Fraction(25), Fraction(1, 1000))
    notes = usable_encoder(EncoderConfig("h264_nvenc"), info)[1]
    if notes:
        skip_or_fail("nvenc", notes[0])


@pytest.mark.needs_nvenc
@pytest.mark.parametrize("codec", NVENC_CODECS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_nvenc_round_trip(nvenc: None, tmp_path: Path, codec: str, pix_fmt: str):
    clip = write_clip(tmp_path / "in.mkv", width=320, height=240, pix_fmt=pix_fmt)
    path = tmp_path / "out.mp4"
    with open_source(str(clip.path)) as source:
        info, frames = source.info, list(source)
    with open_sink(str(path), info, encoder=EncoderConfig(codec)) as sink:
        for frame in frames:
            sink.write(frame)
    with open_source(str(path)) as source:
        again = list(source)
    assert codec_of(path) == codec.removesuffix("_nvenc")
    assert [frame.time_s for frame in again] == pytest.approx(
        [frame.time_s for frame in frames], abs=1e-3
    )
    assert again[0].pix_fmt == encoded_pix_fmt(ENCODERS[codec], pix_fmt).replace(
        "p010le", "yuv420p10le"
    )
    scale = [4 if f.pix_fmt.endswith("10le") else 1 for f in (again[5], frames[5])]
    one, other = again[5].planes[0] / scale[0], frames[5].planes[0] / scale[1]
    assert np.abs(one - other).mean() < 2
