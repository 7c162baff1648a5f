"""Still scenes, ghosts and clean input, with denoisers whose behavior is known."""

from collections.abc import Sequence

import numpy as np
import pytest

from streamdenoise.frame import Frame
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.measure.quality.behavior import (
    MIN_WIDTH,
    Denoise,
    clean_psnr_y,
    ghosting,
    static_scene,
)
from tests.measure.waves import BT709, textured


def identity(noisy: Sequence[Frame]) -> Sequence[Frame]:
    return noisy


def running_mean(noisy: Sequence[Frame]) -> Sequence[Frame]:
    total = np.zeros(noisy[0].planes[0].shape)
    output = []
    for count, frame in enumerate(noisy, 1):
        total += frame.planes[0]
        luma = (total / count).round().astype(np.uint8)
        output.append(frame.with_planes((luma, *frame.planes[1:])))
    return output


def test_an_unchanged_still_scene_neither_gains_nor_flickers_less() -> None:
    scene = static_scene("a", textured(0), 20, identity)
    luma = plane_sigmas(20, BT709, 64, 64)[0]
    assert len(scene.psnr_y) == 36
    assert scene.psnr_y[0] == pytest.approx(20 * np.log10(255 / luma), abs=0.15)
    assert scene.gain_db == pytest.approx(0, abs=0.2)
    assert scene.late_rise_db == pytest.approx(0, abs=0.05)
    assert scene.flicker_in == pytest.approx(luma, rel=0.03)
    assert scene.flicker_db == 0


def test_a_running_mean_gains_with_the_number_of_frames() -> None:
    scene = static_scene("a", textured(0), 20, running_mean)
    assert scene.gain_db == pytest.approx(10 * np.log10(30), abs=0.4)
    # Means of n frames, n from 17 to 26 and from 27 to 36.
    late = [10 * np.log10(n) for n in range(17, 37)]
    expected = np.mean(late[10:]) - np.mean(late[:10])
    assert scene.late_rise_db == pytest.approx(expected, abs=0.15)
    assert scene.flicker_db < -12


def shows_the_past(share: float, frames_ago: int) -> Denoise:
    def denoise(noisy: Sequence[Frame]) -> Sequence[Frame]:
        output = []
        for n, frame in enumerate(noisy):
            then = noisy[max(0, n - frames_ago)].planes[0]
            luma = (1 - share) * frame.planes[0] + share * then
            planes = (luma.round().astype(np.uint8), *frame.planes[1:])
            output.append(frame.with_planes(planes))
        return output

    return denoise


def test_a_ghost_is_the_fraction_of_the_object_that_still_shows() -> None:
    still, other = textured(0, 256, 192), textured(0, 256, 192, period=3)
    names = ("still", "other")
    ghost = ghosting(names, still, other, 10, shows_the_past(0.3, 2))
    assert (ghost.clip, ghost.object_clip) == names
    assert ghost.residue == pytest.approx(0.3, abs=0.04)
    assert ghost.excess_db > 2
    none = ghosting(names, still, other, 10, identity)
    assert none.residue == pytest.approx(0, abs=0.03)
    assert none.excess_db == pytest.approx(0, abs=0.05)
    assert none.mse_fresh == pytest.approx(none.mse, rel=0.1)
    assert none.mse == pytest.approx(plane_sigmas(10, BT709, 64, 64)[0] ** 2, rel=0.1)


def test_an_object_from_a_smaller_clip_fits() -> None:
    ghost = ghosting(
        ("a", "b"), textured(0, 256, 192), textured(1, 34, 32), 10, identity
    )
    assert np.isfinite(ghost.excess_db)


def test_the_object_moves_over_the_narrowest_frame_and_no_narrower_one() -> None:
    for width in (MIN_WIDTH, MIN_WIDTH + 1):
        still = textured(0, width, 32)
        assert np.isfinite(ghosting(("a", "b"), still, still, 10, identity).excess_db)
    still = textured(0, MIN_WIDTH - 1, 32)
    with pytest.raises(ValueError, match="shape"):
        ghosting(("a", "b"), still, still, 10, identity)


def test_noise_that_rounding_removes_leaves_nothing_to_compare() -> None:
    scene = static_scene("a", textured(0), 0.01, identity)
    assert (scene.gain_db, scene.late_rise_db, scene.flicker_db) == (0, 0, 0)
    ghost = ghosting(("a", "b"), textured(0), textured(1), 0.01, identity)
    assert ghost.excess_db == 0


def test_clean_input_is_measured_on_the_frames_that_differ() -> None:
    clip = [textured(n) for n in range(3)]
    luma, *chroma = clip[1].planes
    changed = clip[1].with_planes((luma + 1, *chroma))
    quality = clean_psnr_y(clip, [clip[0], changed, clip[2]])
    assert quality == pytest.approx(20 * np.log10(255))
    assert clean_psnr_y(clip, clip) == float("inf")
