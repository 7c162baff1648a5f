"""Images of 16 bits are denoised in the range that they use."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.image import ImageDenoiser
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.sample_range import (
    ENGINE_BITS,
    RangeFollower,
    SampleRange,
)
from streamdenoise.denoisers.strength import Strength
from streamdenoise.frame import Frame, Still
from streamdenoise.imaging.metrics import psnr_db
from tests.denoisers.noisy_scene import noisy_frame, scene
from tests.denoisers.test_image import RecorderLoader, image_model
from tests.support.frames import make_frame

NOISE_STD = 0.05


def frame_of(samples: np.ndarray, index: int = 0, still: Still | None = None) -> Frame:
    pix_fmt = "gray16le" if samples.ndim == 2 else "rgb48le"
    height, width = samples.shape[:2]
    frame = make_frame(index, 0, width=width, height=height, pix_fmt=pix_fmt)
    return replace(frame.with_planes((samples,)), still=still)


def noisy(low: int, span: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A scene in a part of 16 bits: clean in float, and with noise."""
    clean = low + span * scene(128, 160)
    if channels == 3:
        clean = np.stack([clean, clean, clean], -1)
    noise = np.random.default_rng(0).normal(0, NOISE_STD * span, clean.shape)
    return clean, np.rint(clean + noise).clip(0, 65535).astype(np.uint16)


@pytest.fixture
def denoiser() -> Iterator[Denoiser]:
    with Denoiser.load("nano", backend="openvino") as loaded:
        yield loaded


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("low", "span"), [(0, 65535), (0, 4095), (32768 - 1000, 4095), (60000, 1000)]
)
def test_every_range_is_denoised_alike(
    denoiser: Denoiser, low: int, span: int, channels: int
) -> None:
    clean, samples = noisy(low, span, channels)
    (out,) = denoiser.process(frame_of(samples))
    gain_db = psnr_db(clean, out.planes[0], span) - psnr_db(clean, samples, span)
    assert gain_db > 7
    # As it is reported, the level refers to the full scale.
    level = denoiser.sigma / 255 * 65535
    assert level == pytest.approx(NOISE_STD * span, rel=0.25)
    # More steps than 8 bits of the range have.
    assert len(np.unique(out.planes[0])) > min(600, 0.4 * span)


def test_a_given_level_is_one_of_the_full_scale() -> None:
    """Level 2.55 of 255 is 655 of 65535, whatever range the image uses."""
    loader = RecorderLoader()
    _, samples = noisy(0, 16000)
    with ImageDenoiser(image_model("gray"), loader, noise=NoiseLevel(2.55)) as denoiser:
        denoiser.process(frame_of(samples))
    used = SampleRange.of(samples)
    assert loader.engine.sigmas == [pytest.approx(2.55 * 65535 / used.span, rel=1e-4)]


def test_a_format_of_12_bits_has_levels_of_12() -> None:
    loader = RecorderLoader()
    _, samples = noisy(0, 4095)
    still = Still(Path("a.dcm"), bits=12)
    with ImageDenoiser(image_model("gray"), loader, noise=NoiseLevel(10)) as denoiser:
        denoiser.process(frame_of(samples, still=still))
    used = SampleRange.of(samples)
    assert loader.engine.sigmas == [pytest.approx(10 * 4095 / used.span, rel=1e-4)]


def test_samples_outside_of_the_range_stay(denoiser: Denoiser) -> None:
    _, samples = noisy(1000, 2000)
    samples[5, 5], samples[90, 100] = 65535, 0
    denoiser.reset()
    (out,) = denoiser.process(frame_of(samples))
    assert (out.planes[0][5, 5], out.planes[0][90, 100]) == (65535, 0)
    assert SampleRange.of(samples).high < 10000


def test_a_clean_image_comes_back_bit_for_bit(denoiser: Denoiser) -> None:
    clean, _ = noisy(0, 65535)
    samples = np.rint(clean).astype(np.uint16)
    denoiser.reset()
    (out,) = denoiser.process(frame_of(samples))
    np.testing.assert_array_equal(out.planes[0], samples)


@pytest.mark.parametrize("layout", ["gray", "rgb"])
@pytest.mark.parametrize("pix_fmt", ["gray16le", "rgb48le"])
def test_networks_of_images_see_the_engines_bits(layout: str, pix_fmt: str) -> None:
    loader = RecorderLoader()
    frame = noisy_frame(pix_fmt, 64, 80, noise_std=0.05)
    with ImageDenoiser(image_model(layout), loader, strength=Strength(0.5)) as denoiser:
        (out,) = denoiser.process(frame)
        denoiser.prepare(64, 80, pix_fmt)
    assert out.pix_fmt == pix_fmt
    assert loader.engine.sigmas[0] == pytest.approx(0.05 * 255, rel=0.5)


def test_luma_and_color_of_16_bits_have_strengths_of_their_own() -> None:
    loaded = Denoiser.load("nano", backend="openvino", strength_chroma=0.5)
    frame = noisy_frame("rgb48le", 64, 80, noise_std=0.05)
    with loaded as denoiser:
        (out,) = denoiser.process(frame)
    assert out.planes[0].dtype == np.uint16
    change = np.abs(out.planes[0].astype(int) - frame.planes[0]).mean()
    assert 500 < change < 6000


@pytest.mark.parametrize(("low", "high"), [(0, 65535), (100, 4000), (40000, 40010)])
def test_nothing_is_lost_on_the_way_to_the_engine(low: int, high: int) -> None:
    samples = np.random.default_rng(0).integers(low, high + 1, (40, 50), np.uint16)
    used = SampleRange.of(samples)
    narrowed = used.narrowed(samples)
    assert narrowed.max() < 1 << ENGINE_BITS
    np.testing.assert_array_equal(used.restored(samples, narrowed, narrowed), samples)
    assert used.span >= 255


def test_a_stream_keeps_its_range_until_it_does_not_fit() -> None:
    follower = RangeFollower()
    _, first = noisy(1000, 2000)
    used, changed = follower.update(first)
    assert not changed
    assert follower.update(first + 50) == (used, False)
    other, changed = follower.update(first + 20000)
    assert changed
    assert other != used
    follower.reset()
    assert not follower.update(first)[1]
