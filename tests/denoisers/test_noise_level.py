"""The noise level: given or estimated, and when it is worth a step."""

import numpy as np
import pytest

from streamdenoise.denoisers.noise_level import NEGLIGIBLE_SIGMA, NoiseLevel
from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.noise import plane_sigmas
from tests.denoisers.noisy_scene import noisy_frame

FULL_BT709 = ColorInfo(matrix=1, range=2)


def test_a_given_level_of_rgb_becomes_that_of_each_plane() -> None:
    noise = NoiseLevel(25)
    frame = noisy_frame("yuv420p", 64, 96)
    noise_std = noise.update(frame.planes, 255, FULL_BT709)
    expected = np.array(plane_sigmas(25, FULL_BT709, 96, 64)) / 255
    np.testing.assert_allclose(noise_std, expected, rtol=1e-6)
    assert noise.sigma == pytest.approx(25)
    assert noise.luma_sigma == pytest.approx(255 * expected[0])


@pytest.mark.parametrize(("pix_fmt", "count"), [("gray", 1), ("rgb24", 3)])
def test_gray_and_rgb_keep_the_given_level(pix_fmt: str, count: int) -> None:
    noise = NoiseLevel(51)
    noise_std = noise.update(noisy_frame(pix_fmt, 64, 96).planes, 255, ColorInfo())
    np.testing.assert_allclose(noise_std, np.full(count, 0.2), rtol=1e-6)
    assert noise_std.dtype == np.float32


def test_the_estimate_is_forgotten_at_a_reset() -> None:
    noise = NoiseLevel()
    for index, sigma in enumerate((5, 40)):
        planes = noisy_frame(
            "gray", 128, 160, noise_std=sigma / 255, index=index
        ).planes
        noise.update(planes, 255, ColorInfo())
    assert noise.sigma < 30  # smoothed
    noise.reset()
    noise.update(planes, 255, ColorInfo())
    assert noise.sigma == pytest.approx(40, rel=0.12)


def test_the_negligible_level_depends_on_the_strength() -> None:
    noise = NoiseLevel(strength=0.5)
    just = np.array([0.1, 2.02 * NEGLIGIBLE_SIGMA]) / 255
    assert not noise.is_negligible(just)
    assert noise.is_negligible(just * 0.9)


def test_only_noise_from_pixel_to_pixel_is_fine() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(128, 12, (256, 320))
    coarse = rng.normal(128, 12, (128, 160)).repeat(2, 0).repeat(2, 1)
    shares = []
    for plane in (white, coarse):
        noise = NoiseLevel(scales=(1, 2), measure_fine_share=True)
        noise.update((plane.round().clip(0, 255).astype(np.uint8),), 255, ColorInfo())
        shares.append(noise.fine_share)
    assert shares[0] > 0.9
    assert shares[1] < 0.3
