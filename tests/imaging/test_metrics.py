"""PSNR and SSIM against values calculated by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest

from streamdenoise.frame import ColorInfo, Frame
from streamdenoise.imaging import metrics
from streamdenoise.imaging.color import rgb_to_gray
from streamdenoise.imaging.metrics import (
    Score,
    Scores,
    plane_psnrs,
    psnr_db,
    psnr_uv,
    psnr_y,
    psnr_yuv,
    ssim,
    ssim_y,
)
from tests.support.frames import make_frame, noise_frame


def frame(levels: tuple[int, ...], pix_fmt: str = "yuv420p") -> Frame:
    return make_frame(value=levels, width=16, height=12, pix_fmt=pix_fmt)


def test_an_offset_of_a_tenth_is_20_db() -> None:
    zero = np.zeros((4, 5))
    assert psnr_db(zero, zero + 0.1, peak=1.0) == pytest.approx(20.0)
    assert psnr_db(zero, zero + 25.5, peak=255) == pytest.approx(20.0)


def test_unsigned_planes_do_not_wrap_around() -> None:
    a, b = np.full((2, 2), 3, np.uint8), np.full((2, 2), 5, np.uint8)
    assert psnr_db(a, b, 255) == psnr_db(b, a, 255)
    assert psnr_db(a, b, 255) == pytest.approx(10 * math.log10(255**2 / 4))


def test_equal_is_infinite() -> None:
    assert psnr_db(np.ones((3, 3)), np.ones((3, 3)), 1.0) == math.inf
    clip = [frame((16, 128, 128))] * 2
    assert psnr_y(clip, clip) == math.inf


def test_the_clip_is_the_mean_of_frames_not_of_their_errors() -> None:
    reference = [frame((100, 128, 128))] * 2
    test = [frame((101, 128, 128)), frame((110, 128, 128))]
    one, ten = (10 * math.log10(255**2 / e**2) for e in (1, 10))
    assert psnr_y(reference, test) == pytest.approx((one + ten) / 2)


def test_planes_weigh_6_1_1() -> None:
    reference, test = [frame((100, 100, 100))], [frame((101, 102, 104))]
    y, u, v = (10 * math.log10(255**2 / e**2) for e in (1, 2, 4))
    assert plane_psnrs(reference[0], test[0]) == pytest.approx((y, u, v))
    assert psnr_yuv(reference, test) == pytest.approx((6 * y + u + v) / 8)
    assert psnr_uv(reference, test) == pytest.approx((u + v) / 2)


def test_the_peak_follows_the_depth() -> None:
    eight = psnr_y([frame((100, 0, 0))], [frame((101, 0, 0))])
    ten = psnr_y(
        [frame((400, 0, 0), "yuv420p10le")], [frame((404, 0, 0), "yuv420p10le")]
    )
    assert ten == pytest.approx(eight, abs=0.03)  # 1023 / 4 is not quite 255


def test_ssim_of_equal_planes_is_one() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (24, 20)).astype(np.uint8)
    assert ssim(plane, plane, 255) == pytest.approx(1.0)


def test_ssim_of_two_flat_planes_is_its_luminance_term() -> None:
    a, b = np.full((16, 16), 100.0), np.full((16, 16), 120.0)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(a, b, 255) == pytest.approx(expected)


def test_ssim_is_the_mean_over_gaussian_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wang et al. 2004, equations 13 to 16, one window after the other."""
    rng = np.random.default_rng(2)
    a, b = (rng.uniform(0, 255, (14, 13)) for _ in range(2))
    distance = np.arange(-5, 6)
    window = np.exp(-np.add.outer(distance**2, distance**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top, left in np.ndindex(4, 3):
        x, y = (each[top : top + 11, left : left + 11] for each in (a, b))
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
        vxy = (window * (x - mx) * (y - my)).sum()
        top_part = (2 * mx * my + c1) * (2 * vxy + c2)
        values.append(top_part / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert ssim(a, b, 255) == pytest.approx(np.mean(values), rel=1e-9)
    # Strip by strip, too.
    mse = np.square(a - b).mean()
    monkeypatch.setattr(metrics, "_STRIP_SAMPLES", 26)
    assert ssim(a, b, 255) == pytest.approx(np.mean(values), rel=1e-9)
    assert psnr_db(a, b, 255) == pytest.approx(10 * math.log10(255**2 / mse))


def test_ssim_falls_with_noise_and_is_averaged_over_frames() -> None:
    rng = np.random.default_rng(1)
    clean = np.add.outer(np.arange(12.0) * 8, np.arange(16.0) * 8).astype(np.uint8)
    noise = rng.normal(0, 20, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    chroma = (np.zeros((6, 8), np.uint8),) * 2
    info = ("yuv420p", ColorInfo(), 0, Fraction(1, 25), 0, 0.0)
    a, b = Frame((clean, *chroma), *info), Frame((noisy, *chroma), *info)
    alone = ssim(clean, noisy, 255)
    assert 0.05 < alone < 0.9
    assert ssim_y([a, a], [a, b]) == pytest.approx((1 + alone) / 2)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray10le", "rgb24", "gray16le"])
def test_a_score_is_in_8_bit_levels_whatever_the_depth(pix_fmt: str) -> None:
    unit = {"gray10le": 1023 / 255, "gray16le": 257}.get(pix_fmt, 1)
    a, b = (
        make_frame(value=round(level * unit), width=16, height=12, pix_fmt=pix_fmt)
        for level in (100, 105)
    )
    score = Score.of(a, b, with_ssim=True)
    assert score.mse == pytest.approx(25, rel=0.01)
    assert score.psnr_db == pytest.approx(10 * math.log10(255**2 / 25), abs=0.05)
    assert score.ssim == pytest.approx(ssim(a.planes[0][..., :12].reshape(-1, 12),
        b.planes[0][..., :12].reshape(-1, 12), 255 * unit), abs=1e-4)  # fmt: skip
    assert Score.of(a, b).ssim is None


def test_the_ssim_of_color_is_that_of_its_gray() -> None:
    a, b = (noise_frame(index, pix_fmt="rgb24") for index in range(2))
    gray_a, gray_b = (rgb_to_gray(each.planes[0]) for each in (a, b))
    assert Score.of(a, b, with_ssim=True).ssim == ssim(gray_a, gray_b, 255)
    small = make_frame(width=10, height=40)
    assert Score.of(small, small, with_ssim=True) == Score(0.0, math.inf, None)


def test_scores_are_means_over_all_frames() -> None:
    def one(value: float) -> Scores:
        return Scores(Score(value, 2 * value, value / 10), Score(1.0, math.inf, None))

    total = one(1).plus(one(2)).plus(one(6).plus(None))
    assert (total.frames, total.before.mse) == (3, pytest.approx(3))
    assert total.before.psnr_db == pytest.approx(6)
    assert total.before.ssim == pytest.approx(0.3)
    assert total.after == Score(1.0, math.inf, None)


@pytest.mark.parametrize(
    "call",
    [
        lambda: psnr_db(np.zeros((2, 2)), np.zeros((2, 3)), 1),
        lambda: psnr_db(np.zeros(0), np.zeros(0), 1),
        lambda: ssim(np.zeros((10, 20)), np.zeros((10, 20)), 1),
        lambda: psnr_y([], []),
        lambda: psnr_y([frame((1, 1, 1))], []),
        lambda: plane_psnrs(frame((1, 1, 1)), frame((1,), "gray")),
    ],
)
def test_clips_that_cannot_be_compared_raise_value_error(call: object) -> None:
    with pytest.raises(ValueError, match=r"shape|frames|11x11"):
        call()  # type: ignore[operator]
