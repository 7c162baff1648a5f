"""The noise estimate and the scene-cut detector."""

import numpy as np
import pytest

from streamdenoise.imaging.noise_level import NoiseEstimator, estimate_noise_std
from streamdenoise.imaging.scene_cut import SceneCutDetector


def image(height: int = 240, width: int = 320) -> np.ndarray:
    """Smooth shading with a few edges, in [0, 1]."""
    rows, columns = np.indices((height, width))
    shade = 0.5 + 0.2 * np.sin(rows / 40) * np.cos(columns / 30)
    return shade + 0.15 * ((rows // 40 + columns // 50) % 2)


@pytest.mark.parametrize("sigma", [2, 5, 10, 25, 50])
@pytest.mark.parametrize("peak", [255, 1023])
def test_white_noise_within_a_tenth(sigma: int, peak: int) -> None:
    rng = np.random.default_rng(sigma)
    noisy = 0.2 + 0.5 * image() + rng.normal(0, sigma / 255, (240, 320))
    dtype = np.uint8 if peak == 255 else np.uint16
    plane = (noisy * peak).round().clip(0, peak).astype(dtype)
    assert estimate_noise_std(plane, peak) * 255 == pytest.approx(sigma, rel=0.1)
    assert estimate_noise_std(plane, peak, 2) * 255 == pytest.approx(sigma, rel=0.2)


def test_a_clean_image_has_next_to_no_noise() -> None:
    plane = (image() * 255).round().clip(0, 255).astype(np.uint8)
    assert estimate_noise_std(plane, 255) * 255 < 1.0


def test_smeared_noise_is_seen_at_the_larger_scale() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(0, 20, (242, 322))
    smooth = (white[:-2] + 2 * white[1:-1] + white[2:]) / 4
    smooth = (smooth[:, :-2] + 2 * smooth[:, 1:-1] + smooth[:, 2:]) / 4
    plane = (128 + smooth).round().clip(0, 255).astype(np.uint8)
    fine, coarse = (estimate_noise_std(plane, 255, s) for s in (1, 2))
    assert coarse > 1.3 * fine
    assert NoiseEstimator((1, 2)).update([plane], 255)[0] == pytest.approx(coarse)


@pytest.mark.parametrize("shape", [(1, 1), (9, 400), (17, 18)])
def test_tiny_planes_do_not_crash(shape: tuple[int, int]) -> None:
    assert estimate_noise_std(np.full(shape, 7, np.uint8), 255) == 0.0
    assert estimate_noise_std(np.full(shape, 7, np.uint8), 255, 2) == 0.0


def test_saturated_blocks_do_not_hide_the_noise() -> None:
    rng = np.random.default_rng(0)
    noisy = 128 + rng.normal(0, 10, (240, 320))
    noisy[:160] = 255
    plane = noisy.round().clip(0, 255).astype(np.uint8)
    assert estimate_noise_std(plane, 255) * 255 == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("sigma", [5, 30, 50])
def test_clipping_of_dark_and_bright_parts_does_not_lower_the_estimate(
    sigma: int,
) -> None:
    rng = np.random.default_rng(sigma)
    levels = np.repeat(np.linspace(0, 255, 320)[None], 240, 0)
    noisy = (levels + rng.normal(0, sigma, levels.shape)).clip(0, 255)
    plane = noisy.round().astype(np.uint8)
    assert estimate_noise_std(plane, 255) * 255 == pytest.approx(sigma, rel=0.1)


def test_black_bars_do_not_hide_the_noise() -> None:
    rng = np.random.default_rng(0)
    noisy = 128 + rng.normal(0, 10, (240, 320))
    noisy[:40] = noisy[-40:] = 16
    plane = noisy.round().clip(0, 255).astype(np.uint8)
    assert estimate_noise_std(plane, 255) * 255 == pytest.approx(10, rel=0.1)
    assert estimate_noise_std(np.full_like(plane, 16), 255) == 0.0


@pytest.mark.parametrize(("background", "sigma"), [(19, 1.5), (22, 3), (25, 4)])
@pytest.mark.parametrize("full_range", [True, False])
def test_a_few_bright_windows_at_night_are_not_noise(
    background: int, sigma: float, full_range: bool
) -> None:
    rng = np.random.default_rng(0)
    night = np.full((480, 640), float(background))
    night[200:296, 200:320] = rng.normal(140, 30, (96, 120))
    noisy = night + rng.normal(0, sigma, night.shape)
    plane = noisy.round().clip(0 if full_range else 16, 255).astype(np.uint8)
    found = estimate_noise_std(plane, 255, full_range=full_range) * 255
    assert 0.85 * sigma < found < (1.1 if full_range else 1.5) * sigma


def test_estimator_smooths_over_time_and_forgets_on_reset() -> None:
    rng = np.random.default_rng(0)

    def plane(sigma: float) -> np.ndarray:
        return (128 + rng.normal(0, sigma, (240, 320))).clip(0, 255).astype(np.uint8)

    estimator = NoiseEstimator()
    estimator.update([plane(5)], 255)
    jump = estimator.update([plane(30)], 255)[0] * 255
    assert 6 < jump < 15
    for _ in range(60):
        last = estimator.update([plane(30)], 255)[0] * 255
    assert last == pytest.approx(30, rel=0.05)
    estimator.reset()
    assert estimator.update([plane(5)], 255)[0] * 255 == pytest.approx(5, rel=0.1)


def test_cuts_are_detected_but_not_noise_motion_or_fades() -> None:
    rng = np.random.default_rng(0)

    def luma(shift: int, level: float = 1.0, turned: bool = False) -> np.ndarray:
        base = np.roll(image(), shift, 1)
        base = 1.2 - base[::-1] if turned else base
        noisy = level * base * 200 + rng.normal(0, 25, base.shape)
        return noisy.round().clip(0, 255).astype(np.uint8)

    detector = SceneCutDetector()
    quiet = [detector.update(luma(3 * t), 255) for t in range(20)]
    quiet += [detector.update(luma(60, 1 - t / 40), 255) for t in range(20)]
    assert not any(quiet)
    assert detector.update(luma(60, 1, turned=True), 255)
    assert not detector.update(luma(61, 1, turned=True), 255)
