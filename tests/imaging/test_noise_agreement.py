"""The level of noise on which cells agree."""

import numpy as np
import pytest

from streamdenoise.imaging.noise_agreement import (
    WhiteNoise,
    disagreement,
    quiet_variance,
    typical_variance,
    untextured_share,
)
from streamdenoise.imaging.noise_bounds import Details, spatial_bound, temporal_bound
from streamdenoise.imaging.noise_measurement import WHITE


@pytest.mark.parametrize("key", WHITE)
def test_what_is_known_of_white_noise(key: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    size, scale = key
    side = (size + 4) * scale
    frames = rng.standard_normal((2, side, 4000, side), np.float32)
    now, then = (Details.of(frame, scale) for frame in frames)
    assert len(now.second) == size
    space, (time, _) = spatial_bound(now), temporal_bound(now, then)
    assert space.mean() == pytest.approx(1, rel=0.02)
    known, found = WHITE[key], WhiteNoise.measure(space, time)
    for name in ("time", "lesser", "quiet", "below", "spread"):
        assert getattr(known, name) == pytest.approx(getattr(found, name), rel=0.05)
    cells = known.lesser_of(space, time)
    assert quiet_variance(cells, known) == pytest.approx(1, rel=0.03)
    assert untextured_share(cells, space, time, known) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_texture_in_some_cells_does_not_count(share: float) -> None:
    rng = np.random.default_rng(0)
    white = WHITE[16, 1]
    cells = 3 * rng.gamma(36, 1 / 36, 400)
    textured = rng.random(400) < share
    cells[textured] += rng.exponential(60, textured.sum())
    assert quiet_variance(cells, white) == pytest.approx(3, rel=0.15)


def test_texture_in_all_cells_is_taken_off_where_space_sees_more_of_it() -> None:
    rng = np.random.default_rng(0)
    white = WHITE[16, 1]
    texture = rng.exponential(20, 400)
    time = 3 * rng.gamma(36, 1 / 36, 400) + 0.2 * texture
    level = quiet_variance(time, white)
    assert level > 4.2
    share = untextured_share(time, time + texture, time, white)
    assert level * share == pytest.approx(3, rel=0.35)
    # Noise that differs from place to place looks the same to both.
    assert untextured_share(time, time, time, white) == 1


def test_typical_cells_are_neither_the_quietest_nor_the_loudest() -> None:
    rng = np.random.default_rng(0)
    cells = np.concatenate([rng.uniform(1, 9, 400), rng.uniform(50, 90, 50)])
    assert 4 < typical_variance(cells) < 7


def test_cells_of_one_brightness_agree_in_noise_but_not_in_texture() -> None:
    rng = np.random.default_rng(0)
    brightness = rng.uniform(16, 235, 400)
    noise = brightness * rng.gamma(36, 1 / 36, 400)
    assert disagreement(noise, brightness) < 0.1
    assert disagreement(noise, rng.permutation(brightness)) > 0.5
    texture = rng.exponential(20, 400)
    assert disagreement(texture, brightness) > 0.5
    # Texture in the brighter half hides nothing of what the darker one tells.
    bright = brightness > 125
    assert disagreement(noise + bright * texture, brightness) < 0.1


def test_cells_without_any_noise() -> None:
    assert quiet_variance(np.zeros(9), WHITE[8, 4]) == 0
    assert typical_variance(np.zeros(9)) == 0
    none = np.zeros(9)
    assert disagreement(none, none) == 0
    assert 0 <= untextured_share(none, none, none, WHITE[8, 4]) <= 1
