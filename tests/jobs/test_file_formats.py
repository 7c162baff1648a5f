"""`file` denoises every kind of pixel format in that format."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.planar import planar_format
from streamdenoise.io.ffmpeg.planes import frame_of
from streamdenoise.io.open import open_source
from streamdenoise.io.options import EncoderOptions, ReadOptions
from streamdenoise.jobs.config import FileConfig, View
from streamdenoise.jobs.offline import denoise_file

WIDTH, HEIGHT, FRAMES = 192, 128, 8
NOISE = 0.03
"""Std, as a share of full scale."""


def scene(pix_fmt: str) -> list[np.ndarray]:
    """Planes of waves and edges in [0, 1]; alpha is a ramp."""
    form = planar_format(pix_fmt)
    assert form is not None
    planes = []
    for number, (height, width) in enumerate(form.plane_shapes(WIDTH, HEIGHT)):
        rows, columns = np.indices((height, width), float)
        rows, columns = rows / height, columns / width
        waves = np.sin(7 * rows + number) * np.cos(9 * columns)
        edges = (np.floor(4 * rows) + np.floor(6 * columns)) % 2
        plane = 0.45 + 0.1 * waves + 0.08 * edges
        planes.append(columns if number == form.colors else plane)
    return planes


def write_noisy(path: Path, pix_fmt: str) -> None:
    form = planar_format(pix_fmt)
    assert form is not None
    stored = {"gbrp": "bgr0"}.get(pix_fmt, pix_fmt)
    rng = np.random.default_rng(0)
    dtype = np.uint8 if form.depth == 8 else np.uint16
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, stored
        stream.codec_context.color_range = 2 if form.kind == "rgb" else 1
        for index in range(FRAMES):
            planes = []
            for number, plane in enumerate(scene(pix_fmt)):
                noise = rng.normal(0, NOISE, plane.shape) * (number < form.colors)
                samples = (plane + noise) * form.peak
                planes.append(samples.round().clip(0, form.peak).astype(dtype))
            frame = frame_of(tuple(planes), pix_fmt).reformat(format=stored)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def last_planes(path: Path) -> tuple[str, tuple[np.ndarray, ...]]:
    with open_source(str(path), ReadOptions(keep_original=True)) as source:
        *_, last = source
    if last.original is None:
        return last.pix_fmt, last.planes
    return last.original.pix_fmt, last.original.planes


@pytest.mark.parametrize(
    "pix_fmt",
    [
        *("yuv422p", "yuv444p10le", "yuv420p12le", "yuv444p16le", "yuva420p"),
        *("yuva444p10le", "gray16le", "ya8", "gbrp", "gbrap12le", "yuv440p"),
    ],
)
def test_each_plane_is_denoised_and_alpha_is_not(tmp_path: Path, pix_fmt: str) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_noisy(source, pix_fmt)
    denoise_file(FileConfig(str(source), str(target), encoder=EncoderOptions("ffv1")))
    form = planar_format(pix_fmt)
    assert form is not None
    name, clean = last_planes(target)
    assert name == pix_fmt
    _, noisy = last_planes(source)
    wanted = [plane * form.peak for plane in scene(pix_fmt)]
    for number in range(form.colors):
        before = psnr_db(wanted[number], noisy[number], form.peak)
        after = psnr_db(wanted[number], clean[number], form.peak)
        assert after > before + 5, number
    for got, alpha in zip(clean[form.colors :], noisy[form.colors :], strict=True):
        np.testing.assert_array_equal(got, alpha)


def test_no_strength_returns_every_bit(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_noisy(source, "yuva444p16le")
    config = FileConfig(
        str(source),
        str(target),
        denoise=DenoiseConfig(strength=0.0),
        encoder=EncoderOptions("ffv1"),
    )
    denoise_file(config)
    for got, wanted in zip(last_planes(target)[1], last_planes(source)[1], strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    "options",
    [{"compare": View.SIDE}, {"add_noise": AddedNoise(5.0)}],
    ids=["side by side", "added noise"],
)
def test_what_needs_4_2_0_says_so(tmp_path: Path, options: dict) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_noisy(source, "yuv422p")
    config = FileConfig(
        str(source), str(target), encoder=EncoderOptions("ffv1"), **options
    )
    stats = denoise_file(config)
    assert sum("yuv422p is converted to yuv420p" in each for each in stats.notes) == 1
    assert last_planes(target)[0] == "yuv420p"


@pytest.mark.parametrize("options", [{"compare": View.SPLIT}, {"overlay": True}])
def test_views_of_the_same_size_keep_the_format(tmp_path: Path, options: dict) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_noisy(source, "yuv444p10le")
    config = FileConfig(
        str(source), str(target), encoder=EncoderOptions("ffv1"), **options
    )
    denoise_file(config)
    name, planes = last_planes(target)
    assert name == "yuv444p10le"
    noisy = last_planes(source)[1]
    if "compare" in options:
        # The left half is the input: to the bit, but for the border and the labels.
        for got, wanted in zip(planes, noisy, strict=True):
            np.testing.assert_array_equal(got[40:90, :60], wanted[40:90, :60])
    else:
        assert psnr_db(noisy[0][:12], planes[0][:12], 1023) < 20  # the text
