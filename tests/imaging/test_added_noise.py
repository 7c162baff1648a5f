"""Kinds of noise: what users write, and statistics as each is defined."""

import numpy as np
import pytest
import torch

from streamdenoise.errors import ConfigError
from streamdenoise.frame import PIX_FMTS, ColorInfo, Frame, bit_depth
from streamdenoise.imaging.added_noise import AddedNoise, NoiseKind
from streamdenoise.imaging.color import frame_to_picture
from streamdenoise.imaging.noise import add_gaussian_noise, add_noise
from tests.support.frames import make_frame
from train.classic.noise import NOISES

FULL = ColorInfo(range=2)


def noisy(frame: Frame, text: str, seed: int = 1) -> Frame:
    return add_noise(frame, AddedNoise.parse(text), np.random.default_rng(seed))


def flat(
    level: float, pix_fmt: str = "rgb24", color: ColorInfo = FULL, side: int = 200
) -> Frame:
    """A frame of one brightness, as a share of white."""
    depth = bit_depth(pix_fmt)
    black, span = 0.0, float((1 << depth) - 1)
    if not (pix_fmt.startswith("rgb") or color.is_full_range):
        black, span = 16.0 * (1 << (depth - 8)), 219.0 * (1 << (depth - 8))
    luma = round(black + level * span)
    levels = (luma, 1 << (depth - 1), 1 << (depth - 1))
    return make_frame(
        0, levels[: 3 if pix_fmt.startswith("yuv") else 1], width=side, height=side,
        pix_fmt=pix_fmt, color=color,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "level"),
    [
        ("25", NoiseKind.GAUSSIAN, 25),
        ("gaussian:12.5", NoiseKind.GAUSSIAN, 12.5),
        ("poisson:30", NoiseKind.POISSON, 30),
        ("salt-pepper:0.05", NoiseKind.SALT_PEPPER, 0.05),
        ("speckle:0.1", NoiseKind.SPECKLE, 0.1),
    ],
)
def test_noise_is_read_as_users_write_it(
    text: str, kind: NoiseKind, level: float
) -> None:
    noise = AddedNoise.parse(text)
    assert (noise.kind, noise.level) == (kind, level)
    assert AddedNoise.parse(str(noise)) == noise


@pytest.mark.parametrize(
    "text",
    [
        *("", "loud", "0", "-5", "256", "nan", "inf", ":", "fog:1", "poisson"),
        *("poisson:0", "poisson:many", "salt-pepper:1.01", "speckle:-1", "25:poisson"),
    ],
)
def test_other_noise_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^noise of .*(take|give)") as caught:
        AddedNoise.parse(text)
    assert "\n" not in str(caught.value)


def test_a_number_alone_is_the_white_noise_of_published_figures() -> None:
    for pix_fmt in PIX_FMTS:
        frame = flat(0.4, pix_fmt, side=33)
        same = add_gaussian_noise(frame, 25, np.random.default_rng(1))
        for a, b in zip(noisy(frame, "25").planes, same.planes, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gray", "gray16le", "rgb48le"])
@pytest.mark.parametrize("level", [0.2, 0.6])
def test_shot_noise_has_the_mean_and_variance_of_its_photons(
    pix_fmt: str, level: float
) -> None:
    samples = noisy(flat(level, pix_fmt), "poisson:100").planes[0]
    photons = samples / ((1 << bit_depth(pix_fmt)) - 1) * 100
    assert photons.mean() == pytest.approx(100 * level, rel=0.01)
    assert photons.var() == pytest.approx(100 * level, rel=0.05)
    # Whole photons, but for rounding to samples.
    assert np.abs(photons - np.rint(photons)).max() < 0.2
    assert noisy(flat(0, pix_fmt), "poisson:100").planes[0].max() == 0


@pytest.mark.parametrize("pix_fmt", ["rgb24", "gray", "rgb48le"])
def test_salt_and_pepper_hit_their_share_of_whole_pixels(pix_fmt: str) -> None:
    frame = flat(0.5, pix_fmt)
    samples = noisy(frame, "salt-pepper:0.1").planes[0].reshape(40000, -1)
    assert (samples == samples[:, :1]).all()
    peak = (1 << bit_depth(pix_fmt)) - 1
    assert (samples[:, 0] == 0).mean() == pytest.approx(0.05, rel=0.1)
    assert (samples[:, 0] == peak).mean() == pytest.approx(0.05, rel=0.1)
    rest = samples[(samples[:, 0] > 0) & (samples[:, 0] < peak)]
    assert (rest == frame.planes[0].flat[0]).all()


@pytest.mark.parametrize("level", [0.1, 0.3, 0.6])
def test_speckle_is_proportional_to_the_brightness(level: float) -> None:
    samples = noisy(flat(level, "gray16le"), "speckle:0.1").planes[0] / 65535
    assert samples.mean() == pytest.approx(level, rel=0.01)
    assert samples.std() == pytest.approx(0.1 * level, rel=0.03)


@pytest.mark.parametrize("color", [FULL, ColorInfo(1, 1), ColorInfo(6, 1)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray"])
@pytest.mark.parametrize("text", ["poisson:50", "salt-pepper:0.2", "speckle:0.2"])
def test_video_gets_the_noise_of_its_rgb(
    text: str, pix_fmt: str, color: ColorInfo
) -> None:
    """Black stays black in any range, and luma has the std that is due to it."""
    dark = noisy(flat(0, pix_fmt, color), text)
    if "salt" not in text:
        np.testing.assert_array_equal(dark.planes[0], flat(0, pix_fmt, color).planes[0])
    frame = noisy(flat(0.4, pix_fmt, color), text)
    gray = frame_to_picture(frame).astype(float)
    gray /= 255 if gray.max() < 256 else 65535
    # Of white, the light in R, G and B adds up with these weights.
    weights = {1: (0.2126, 0.7152, 0.0722)}.get(color.matrix, (0.299, 0.587, 0.114))
    share = 1.0
    if pix_fmt.startswith("yuv") and "salt" not in text:
        gray, share = gray @ weights, float(np.linalg.norm(weights))
    expected = {
        "poisson:50": (0.4 / 50) ** 0.5,
        "salt-pepper:0.2": (0.1 * 0.4**2 + 0.1 * 0.6**2) ** 0.5,
        "speckle:0.2": 0.08,
    }[text]
    assert (gray - 0.4).std() == pytest.approx(share * expected, rel=0.06)


@pytest.mark.parametrize("kind", NoiseKind)
def test_training_has_the_same_kinds_of_noise(kind: NoiseKind) -> None:
    """Its levels have one unit: 0.1 is 100 photons, too."""
    level = {NoiseKind.GAUSSIAN: 25.5, NoiseKind.POISSON: 100.0}.get(kind, 0.1)
    frame = add_noise(
        flat(0.4, "rgb48le"), AddedNoise(level, kind), np.random.default_rng(0)
    )
    ours = frame.planes[0] / 65535 - 0.4
    clean = torch.full((1, 3, 200, 200), 0.4)
    generator = torch.Generator().manual_seed(0)
    theirs = NOISES[kind](clean, torch.full((1, 1, 1, 1), 0.1), generator) - clean
    assert ours.std() == pytest.approx(float(theirs.std()), rel=0.03)
    moments = [float((x**3).mean()) for x in (ours, theirs.double())]
    assert moments[0] == pytest.approx(moments[1], abs=2e-4)


@pytest.mark.parametrize("kind", NoiseKind)
def test_a_seed_repeats_the_noise_and_frames_differ(kind: NoiseKind) -> None:
    noise = AddedNoise(0.5 if kind is NoiseKind.SALT_PEPPER else 5, kind)
    frame = flat(0.5, "yuv420p", side=32)
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    first, second = (add_noise(frame, noise, rng).planes[0] for _ in range(2))
    np.testing.assert_array_equal(first, add_noise(frame, noise, again).planes[0])
    assert not np.array_equal(first, second)
