"""Noise: moments, independence, clipping, and what reaches the planes."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from streamdenoise.frame import ColorInfo, Frame, bit_depth
from streamdenoise.imaging.noise import add_gaussian_noise, plane_sigmas
from tests.support.frames import make_frame

BT709_LIMITED = ColorInfo(1, 1, 1, 1)
BT601_FULL = ColorInfo(5, 2)
COLORS = [
    BT709_LIMITED,
    BT601_FULL,
    ColorInfo(1, 2),
    ColorInfo(9, 1),
    ColorInfo(6, 1),
    ColorInfo(),
]
FORMATS = ["yuv420p", "yuv420p10le", "gray", "gray10le", "rgb24"]


def flat(
    pix_fmt: str, levels: tuple[int, ...], color: ColorInfo, size: int = 256
) -> Frame:
    """A frame of one color; `levels` has an 8-bit code value for each plane."""
    values = tuple(level << (bit_depth(pix_fmt) - 8) for level in levels)
    return make_frame(
        3, values, width=size, height=size, pix_fmt=pix_fmt, pts=7, color=color,
        captured_at=1.5,
    )  # fmt: skip


def gray(pix_fmt: str, color: ColorInfo = BT709_LIMITED, size: int = 256) -> Frame:
    return flat(pix_fmt, (126, 128, 128)[: 3 if "yuv" in pix_fmt else 1], color, size)


def sigmas_of(
    sigma: float, color: ColorInfo, pix_fmt: str = "yuv420p"
) -> tuple[float, ...]:
    return plane_sigmas(sigma, color, 256, 256, pix_fmt)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_mean_and_std_are_as_given(pix_fmt: str, color: ColorInfo) -> None:
    frame = gray(pix_fmt, color)
    noisy = add_gaussian_noise(frame, 10, np.random.default_rng(1))
    unit = 2 ** (bit_depth(pix_fmt) - 8)
    for before, after, sigma in zip(
        frame.planes, noisy.planes, sigmas_of(10, color, pix_fmt), strict=True
    ):
        assert after.mean() == pytest.approx(before.mean(), abs=0.15 * unit)
        # Rounding to integer levels adds 1/12 level^2.
        assert (after / unit).std() == pytest.approx(sigma, rel=0.03)


def test_plane_sigmas_of_bt709_limited_are_the_textbook_ones() -> None:
    luma = 30 * (0.2126**2 + 0.7152**2 + 0.0722**2) ** 0.5 * 219 / 255
    y, u, v = sigmas_of(30, BT709_LIMITED)
    assert y == pytest.approx(luma)
    assert (u, v) == pytest.approx((8.43, 8.94), abs=0.4)
    assert sigmas_of(30, ColorInfo(range=2), "rgb24") == (30.0,)


@pytest.mark.parametrize(
    ("width", "height", "same", "ratio"),
    [(640, 480, 6, 1.0), (720, 576, 5, 1.0), (1280, 720, 1, 1.12)],
)
def test_untagged_noise_follows_the_matrix_for_the_size(
    width: int, height: int, same: int, ratio: float
) -> None:
    untagged = plane_sigmas(25, ColorInfo(), width, height)
    assert untagged == plane_sigmas(25, ColorInfo(same), width, height)
    bt601 = plane_sigmas(25, ColorInfo(6), width, height)
    assert untagged[0] / bt601[0] == pytest.approx(ratio, abs=0.005)


def test_untagged_frames_get_the_noise_of_tagged_ones() -> None:
    untagged, tagged = (
        add_gaussian_noise(gray("yuv420p", color), 20, np.random.default_rng(7))
        for color in (ColorInfo(), ColorInfo(6))
    )
    for a, b in zip(untagged.planes, tagged.planes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_same_seed_gives_the_same_noise() -> None:
    frame = gray("yuv420p", size=32)
    one, two = (
        add_gaussian_noise(frame, 20, np.random.default_rng(5)) for _ in range(2)
    )
    for a, b in zip(one.planes, two.planes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_frames_of_a_clip_get_independent_noise() -> None:
    frame, rng = gray("gray"), np.random.default_rng(2)
    noise = [
        add_gaussian_noise(frame, 10, rng).planes[0].astype(float).ravel()
        for _ in range(4)
    ]
    for a, b in itertools.combinations(noise, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.02  # 5 std of 65536 samples


def test_luma_noise_is_white() -> None:
    y = add_gaussian_noise(gray("yuv420p"), 20, np.random.default_rng(3)).planes[0]
    y = y.astype(float) - y.mean()
    for shifted in (y[:, 1:] * y[:, :-1], y[1:] * y[:-1]):
        assert abs(shifted.mean() / y.var()) < 0.02


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_zero_sigma_returns_the_same_pixels(pix_fmt: str) -> None:
    frame = gray(pix_fmt, size=64)
    clean = add_gaussian_noise(frame, 0, np.random.default_rng(0))
    for a, b in zip(frame.planes, clean.planes, strict=True):
        # Through RGB in the same number of bits: limited range loses at most a level.
        assert np.abs(a.astype(int) - b).max() <= (1 if "yuv" in pix_fmt else 0)


def test_noise_is_clipped_to_the_range_of_rgb() -> None:
    rng = np.random.default_rng(4)
    black = add_gaussian_noise(flat("yuv420p", (16, 128, 128), BT709_LIMITED), 50, rng)
    white = add_gaussian_noise(flat("yuv420p", (235, 128, 128), BT709_LIMITED), 50, rng)
    assert black.planes[0].min() == 16
    assert white.planes[0].max() == 235
    assert black.planes[0].mean() > 20  # values below black are gone
    rgb = add_gaussian_noise(flat("rgb24", (0,), BT601_FULL), 50, rng).planes[0]
    assert (rgb == 0).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_odd_sizes_and_timestamps_are_kept(pix_fmt: str) -> None:
    frame = gray(pix_fmt, size=33)
    noisy = add_gaussian_noise(frame, 25, np.random.default_rng(6))
    assert [p.shape for p in noisy.planes] == [p.shape for p in frame.planes]
    assert (noisy.pts, noisy.index, noisy.time_base) == (7, 3, Fraction(1, 25))


def test_negative_sigma_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="sigma must be 0 or more"):
        add_gaussian_noise(gray("gray"), -1, np.random.default_rng(0))
