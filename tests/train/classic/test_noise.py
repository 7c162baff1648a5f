"""Noise on still images, losses and scores."""

import numpy as np
import pytest
import torch

from train.classic.data import Images
from train.classic.loss import LOSSES
from train.classic.noise import NOISES, ImageNoise
from train.classic.scores import Score, means, with_noise
from train.loss import CHARBONNIER_EPS


def noise_of(kind: str, brightness: float) -> torch.Tensor:
    noise = ImageNoise(kind, (25.5, 25.5), clip=False)
    clean = torch.full((1, 3, 96, 96), brightness)
    return noise.add(clean, torch.Generator().manual_seed(0))[0] - clean


def test_noise_has_the_given_level() -> None:
    for brightness in (0.25, 0.5):
        assert noise_of("gaussian", brightness).std() == pytest.approx(0.1, rel=0.03)
        assert noise_of("poisson", brightness).std() == pytest.approx(
            0.1 * brightness**0.5, rel=0.03
        )
        assert noise_of("speckle", brightness).std() == pytest.approx(
            0.1 * brightness, rel=0.03
        )
    hit = noise_of("salt-pepper", 0.5)
    assert set(hit.unique().tolist()) == {-0.5, 0.0, 0.5}
    assert (hit != 0).float().mean() == pytest.approx(0.1, rel=0.1)
    assert 0.02 < noise_of("camera", 0.5).std() < 0.2


def test_networks_get_the_level_of_each_kind_of_noise() -> None:
    """For white noise the level that was drawn, for others the std of the change."""
    gray = torch.full((1, 1, 96, 96), 0.25)
    for kind, expected in (
        ("gaussian", 0.1),
        ("poisson", 0.1 * 0.5),
        ("speckle", 0.1 * 0.25),
        # A twentieth of the pixels is 0.25 too dark, another 0.75 too bright.
        ("salt-pepper", (0.05 * 0.25**2 + 0.05 * 0.75**2) ** 0.5),
    ):
        noise = ImageNoise(kind, (25.5, 25.5), clip=False)
        _, noise_std = noise.add(gray, torch.Generator().manual_seed(0))
        assert float(noise_std) == pytest.approx(expected, rel=0.1)


def test_camera_noise_leaves_the_image_where_it_is() -> None:
    ramp = torch.linspace(0.2, 0.8, 96)
    clean = ramp.expand(60, 3, 32, 96).contiguous()
    noise = ImageNoise("camera", (1.0, 1.0))
    noisy, _ = noise.add(clean, torch.Generator().manual_seed(0))
    slopes = (noisy - noisy.mean(3, keepdim=True)).mean((1, 2)) @ (ramp - ramp.mean())
    slopes = slopes / (ramp - ramp.mean()).square().sum()
    assert slopes == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_camera_noise_fits_any_size(channels: int) -> None:
    clean = torch.full((24, channels, 29, 50), 0.5)
    noise = ImageNoise("camera", (20.0, 40.0))
    noisy, noise_std = noise.add(clean, torch.Generator().manual_seed(0))
    assert noisy.shape == clean.shape
    assert (noise_std > 0).all()


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_the_same_for_a_seed_and_clipped(kind: str) -> None:
    clean = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    noise = ImageNoise(kind, (10.0, 80.0))
    (a, noise_std), (b, _), (c, _) = (
        noise.add(clean, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.min() >= 0
    assert a.max() <= 1
    assert noise_std.shape == (3, 1, 1, 1)
    if kind == "gaussian":
        assert ((noise_std > 10 / 255 - 1e-6) & (noise_std < 80 / 255 + 1e-6)).all()


def test_levels_of_test_images_are_evenly_spread() -> None:
    noise = ImageNoise("gaussian", (10.0, 60.0), clip=False)
    images = Images([np.full((8, 8, 1), 0.5, np.float32)] * 50, True)
    (held,) = with_noise(images, noise, 1)
    levels = 255 * held.noise_std.flatten()
    assert float(levels.mean()) == pytest.approx(35, abs=1)
    # One in every tenth, or nearly so.
    counts, _ = np.histogram(levels, 10, (10, 60))
    assert counts.min() >= 4
    assert counts.max() <= 6
    # The same, however they are grouped.
    parts = [noise.spread(0, 20), noise.spread(20, 30)]
    assert torch.equal(torch.cat(parts), held.noise_std)


def test_losses_match_their_names() -> None:
    out, clean = torch.full((2, 1, 4, 4), 0.75), torch.ones(2, 1, 4, 4)
    values = {name: float(loss(out, clean)) for name, loss in LOSSES.items()}
    assert values == pytest.approx(
        {
            "mse": 0.0625,
            "l1": 0.25,
            "bce": 0.287682,  # -log(3/4)
            "charbonnier": (0.0625 + CHARBONNIER_EPS**2) ** 0.5,
        },
        rel=1e-5,
    )


def test_an_image_without_error_keeps_the_mean_finite() -> None:
    clean = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert Score.of(clean, clean, clean).psnr == 100.0


def test_means_are_over_images() -> None:
    mean = means([Score(0.1, 10.0, 20.0, 0.5), Score(0.3, 12.0, 30.0, None)])
    assert mean == Score(0.2, 11.0, 25.0, 0.5)
