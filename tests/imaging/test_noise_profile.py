"""What a noise profile is."""

import numpy as np
import pytest

from streamdenoise.imaging.noise_profile import (
    LEVELS,
    block_energies,
    measured_profile,
    reduced,
    white_profile,
    with_missed_power,
)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_white_noise_has_the_same_level_at_every_scale(scale: int) -> None:
    rng = np.random.default_rng(scale)
    plane = rng.normal(0, 3, (400, 402))
    small = reduced(plane, scale)
    assert small.shape == (400 // scale, 402 // scale)
    assert small.std() == pytest.approx(3, rel=0.02)
    assert block_energies(small).mean() == pytest.approx(9, rel=0.05)


def test_measured_profile_holds_the_levels_of_each_plane() -> None:
    rng = np.random.default_rng(0)
    noise = [
        rng.normal(0, std, (2, side, side))
        for std, side in ((0.04, 256), (0.02, 128), (0.03, 128))
    ]
    expected = [(0.04, 0.02, 0.03)[plane] for plane, _ in LEVELS]
    assert measured_profile(noise) == pytest.approx(expected, rel=0.05)


def test_steep_spectra_hold_more_than_second_differences_see() -> None:
    white = white_profile((0.04, 0.02, 0.03))
    assert with_missed_power(white) is white
    none = white_profile((0.0,))
    assert with_missed_power(none) is none
    steep = np.array([1, 4, 6, 1, 5, 1, 5], np.float32)
    raised = with_missed_power(steep)
    assert (raised[:3] > 1.5 * steep[:3]).all()
    assert (raised[3:] == steep[3:]).all()
    # The steeper, the more, without a step.
    start = np.array([1, 2, 3.001, 1, 1, 1, 1], np.float32)
    assert with_missed_power(start) == pytest.approx(start, rel=0.01)


def test_planes_that_are_too_small_have_no_blocks() -> None:
    assert block_energies(np.zeros((9, 100), np.float32)).size == 0
