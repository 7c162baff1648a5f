"""Strength: never worse than its neighbors, no shift of brightness, no mosaic."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.denoisers.load import load_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.denoisers.strength import MOST_TOLD, Strength
from streamdenoise.errors import ConfigError
from streamdenoise.frame import PIX_FMTS, ColorInfo, Frame
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.open import open_source
from streamdenoise.units import Region
from tests.denoisers.noisy_scene import noisy_frame

STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0)
SIGMA = 20


def flat(count: int) -> list[Frame]:
    planes = [np.full((96, 128), 110, np.uint8)]
    planes += [np.full((48, 64), 128, np.uint8)] * 2
    return [
        Frame(tuple(planes), "yuv420p", ColorInfo(), i, Fraction(1, 25), i, 0)
        for i in range(count)
    ]


def street(count: int) -> list[Frame]:
    """A part of a natural clip."""
    with open_source("samples/cctv.mp4") as source:
        return [
            frame.with_planes(
                tuple(
                    np.ascontiguousarray(
                        plane[100 // n : 324 // n, 200 // n : 456 // n]
                    )
                    for plane, n in zip(frame.planes, (1, 2, 2), strict=True)
                )
            )
            for frame in islice(source, count)
        ]


def denoised_luma(
    model: str, clean: Sequence[Frame], strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """The last frame before and after."""
    rng = np.random.default_rng(0)
    with Denoiser.load(model, strength=strength, threads=1) as denoiser:
        for frame in clean:
            noisy = add_gaussian_noise(frame, SIGMA, rng)
            (out,) = denoiser.process(noisy)
    return noisy.planes[0], out.planes[0]


def border_steps(luma: np.ndarray) -> float:
    """Steps across the borders of blocks of 4, in units of the others."""
    steps = np.abs(np.diff(luma.astype(float), axis=1)).mean(0)
    is_border = np.arange(len(steps)) % 4 == 3
    return float(steps[is_border].mean() / (steps[~is_border].mean() + 0.05))


@pytest.mark.parametrize("model", ["nano", "nano-awgn"])
@pytest.mark.parametrize("scene", [flat, street])
def test_no_strength_is_worse_than_both_neighbors(model: str, scene: type) -> None:
    clean = scene(5)
    luma = clean[-1].planes[0]
    found = {s: denoised_luma(model, clean, s) for s in STRENGTHS}
    psnr = [psnr_db(luma, after, 255) for _, after in found.values()]
    assert psnr[0] < psnr[1] < psnr[2]
    for before, now, after in zip(psnr, psnr[1:], psnr[2:], strict=False):
        assert now > min(before, after) - 0.05
    neutral = found[1.0][1]
    for strength in (1.5, 2.0):
        _, strong = found[strength]
        assert strong.mean() == pytest.approx(neutral.mean(), abs=0.75)
    for strength, most in ((1.5, 1.25), (2.0, 1.25), (4.0, 1.4)):
        assert border_steps(found[strength][1]) < most * border_steps(neutral)
    noisy, half = found[0.5]
    assert half.mean() == pytest.approx((noisy.mean() + neutral.mean()) / 2, abs=0.05)


@pytest.mark.parametrize("pix_fmt", list(PIX_FMTS))
def test_strength_zero_returns_the_input_and_one_half_is_halfway(pix_fmt: str) -> None:
    frame = noisy_frame(pix_fmt, 64, 96, noise_std=0.08)
    outputs = []
    for strength in (0, 0.5, 1):
        with Denoiser.load("nano-awgn", strength=strength, threads=1) as denoiser:
            outputs.append(denoiser.process(frame)[0].planes)
    for before, none, half, full in zip(frame.planes, *outputs, strict=True):
        np.testing.assert_array_equal(before, none)
        halfway = (before.astype(float) + full) / 2
        assert np.abs(half - halfway).max() <= 0.5


def test_luma_and_color_have_strengths_of_their_own() -> None:
    frame = noisy_frame("yuv420p", 64, 96, noise_std=0.08)
    with Denoiser.load("nano-awgn", strength_chroma=0, threads=1) as denoiser:
        (out,) = denoiser.process(frame)
    assert (out.planes[0] != frame.planes[0]).any()
    for chroma, before in zip(out.planes[1:], frame.planes[1:], strict=True):
        np.testing.assert_array_equal(chroma, before)


def test_of_rgb_the_brightness_or_the_color_stays() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.normal(120, 20, (64, 96, 3)).round().clip(0, 255).astype(np.uint8)
    lumas, colors = [], []
    for luma, chroma in ((0, 1), (1, 0)):
        with Denoiser.load(
            "nano-rgb-awgn", strength_luma=luma, strength_chroma=chroma, threads=1
        ) as denoiser:
            change = denoiser(noisy, "rgb24").astype(float) - noisy
        lumas.append(np.abs(change.mean(2)).mean())
        colors.append(np.abs(change - change.mean(2)[..., None]).mean())
    assert lumas[0] < 0.3 < 5 < lumas[1]
    assert colors[1] < 0.3 < 5 < colors[0]


def test_more_strength_tells_more_noise_up_to_what_models_know() -> None:
    profile = np.array([1, 2, 3, 4, 5, 60, 100], np.float32) / 255
    told = Strength(2, luma=2, chroma=0.5).told(profile)
    assert np.allclose(told[:3], profile[:3] * 4**0.75)
    assert np.allclose(told[3:], profile[3:])
    told = Strength(2).told(profile)
    assert told[5] == pytest.approx(MOST_TOLD)
    assert told[6] == profile[6]
    assert Strength(4, luma=4).factors == (4, 4)


@pytest.mark.parametrize("name", ["strength", "strength_luma", "strength_chroma"])
@pytest.mark.parametrize("factor", [-0.1, 4.1, float("nan")])
def test_strengths_out_of_range_are_refused(name: str, factor: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} .* is outside 0 to 4"):
        Denoiser.load(**{name: factor})  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 4.1, 1e9])
def test_no_strength_can_spoil_a_running_stream(bad: float) -> None:
    strength = Strength()
    with pytest.raises(ConfigError, match="outside 0 to 4"):
        strength.total = bad
    assert strength.factors == (1.0, 1.0)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray", "rgb24"])
def test_spared_areas_stay_as_they_are(pix_fmt: str) -> None:
    area = Region(9, 4, 50, 31)
    config = DenoiseConfig(model="pico", sigma=20.0, spared=(area,))
    frame = noisy_frame(pix_fmt, 96, 128, noise_std=0.08)
    before = [plane.copy() for plane in frame.planes]
    with load_denoiser(config) as denoiser:
        (cleaned,) = denoiser.process(frame)
    left, top, right, bottom = area.edges
    for plane, same, new in zip(frame.planes, before, cleaned.planes, strict=True):
        np.testing.assert_array_equal(plane, same)
        n = frame.planes[0].shape[0] // plane.shape[0]
        inside = np.zeros(plane.shape[:2], bool)
        inside[top // n : -(-bottom // n), left // n : -(-right // n)] = True
        np.testing.assert_array_equal(new[inside], plane[inside])
        assert (new[~inside] != plane[~inside]).mean() > 0.3


def test_spared_areas_are_inside_of_the_frame() -> None:
    frame = noisy_frame("yuv420p", 96, 128)
    area = Region(0, 0, frame.width + 1, 4)
    with (
        load_denoiser(
            DenoiseConfig(model="pico", sigma=9.0, spared=(area,))
        ) as denoiser,
        pytest.raises(
            ConfigError, match=r"--spare 0,0,\d+,4 reaches beyond the frames"
        ),
    ):
        denoiser.process(frame)
