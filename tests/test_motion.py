"""Global motion: the estimate, and moving pictures and state by it."""

import cv2
import numpy as np
import pytest
import torch

from streamdenoise.motion import (
    GlobalMotion,
    StateMover,
    interpolation_taps,
    translate,
)
from train import motion as training


def scene(height: int = 240, width: int = 320, seed: int = 0) -> np.ndarray:
    """A smooth random picture in [0, 1] that is larger than what is shown of it."""
    rng = np.random.default_rng(seed)
    noise = rng.random((height, width)).astype(np.float32)
    picture = sum(cv2.GaussianBlur(noise, (0, 0), r) * r for r in (2, 6, 18))
    return (picture - picture.min()) / (picture.max() - picture.min())


def shown(picture: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    noisy = picture * 200 + 20 + rng.normal(0, sigma, picture.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("taps", [2, 6])
def test_whole_shifts_move_pixels_unchanged(taps: int) -> None:
    image = np.random.default_rng(0).random((12, 20)).astype(np.float32)
    moved = translate(image, 3, -2, taps)
    np.testing.assert_allclose(moved[3:, :-2], image[:-3, 2:], atol=1e-6)
    np.testing.assert_allclose(moved[:3, :-2], np.tile(image[:1, 2:], (3, 1)))
    fresh = translate(image, 3, -2, taps, hold_edge=False)
    assert np.abs(fresh[:3]).max() < 1e-12
    assert np.abs(fresh[:, -2:]).max() < 1e-12


def test_taps_interpolate() -> None:
    whole, weights = interpolation_taps(-1.25, 2)
    assert whole == -2
    # 0.75 beyond the whole shift: a quarter of the sample at -2 and the rest before it.
    np.testing.assert_allclose(weights, [0.75, 0.25])
    for shift in (0.0, 0.3, 5.5):
        assert interpolation_taps(shift, 6)[1].sum() == pytest.approx(1)
    t = np.arange(64, dtype=np.float32)
    wave = np.sin(t / 4)[None].repeat(8, 0)
    moved = translate(wave, 0, 1.4, 6)
    expected = np.sin((t - 1.4) / 4)[None].repeat(8, 0)
    np.testing.assert_allclose(moved[:, 8:-8], expected[:, 8:-8], atol=0.01)


@pytest.mark.parametrize("sigma", [2, 20])
@pytest.mark.parametrize(
    ("down", "right"), [(0.6, -0.4), (3.3, 1.7), (-7.0, 11.2), (0.0, -0.8)]
)
def test_finds_how_a_noisy_picture_moved(
    down: float, right: float, sigma: float
) -> None:
    rng = np.random.default_rng(1)
    motion = GlobalMotion()
    picture = scene(480, 640)
    assert motion.update(shown(picture, sigma, rng), 255) == (0, 0)
    found = motion.update(shown(translate(picture, down, right, 6), sigma, rng), 255)
    np.testing.assert_allclose(found, (down, right), atol=0.2)


@pytest.mark.parametrize("sigma", [0, 5, 40])
def test_still_and_empty_scenes_do_not_move(sigma: float) -> None:
    rng = np.random.default_rng(2)
    for picture in (scene(480, 640), np.full((480, 640), 0.5, np.float32)):
        motion = GlobalMotion()
        for _ in range(6):
            assert motion.update(shown(picture, sigma, rng), 255) == (0, 0)


def test_a_large_thing_that_moves_does_not_move_the_scene() -> None:
    rng = np.random.default_rng(3)
    motion = GlobalMotion()
    background, thing = scene(480, 640), scene(220, 260, seed=9)
    for t in range(5):
        picture = 0.3 + 0.2 * background
        picture[120:340, 100 + 6 * t : 360 + 6 * t] = thing
        assert motion.update(shown(picture, 3, rng), 255) == (0, 0)


def test_new_sizes_cuts_and_tiny_frames_start_again() -> None:
    rng = np.random.default_rng(4)
    motion = GlobalMotion()
    motion.update(shown(scene(seed=1), 2, rng), 255)
    assert motion.update(shown(scene(seed=2), 2, rng), 255) == (0, 0)
    assert motion.update(shown(scene(480, 640), 2, rng), 255) == (0, 0)
    for shape in ((1, 1), (9, 400), (17, 17)):
        for _ in range(3):
            frame = rng.integers(0, 1024, shape).astype(np.uint16)
            assert motion.update(frame, 1023) == (0, 0)
    motion.update(shown(scene(480, 640), 2, rng), 255)
    motion.reset()
    moved = translate(scene(480, 640), 4, 4, 6)
    assert motion.update(shown(moved, 2, rng), 255) == (0, 0)


def test_state_moves_like_the_picture_and_training_does_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.from_numpy(scene(64, 96))[None, None]
    half = torch.nn.functional.avg_pool2d(picture, 2)
    fused = training.pack((picture, half, 0.5 * half))
    state = (
        fused,
        torch.full((1, 16, 24, 1), 9.0),
        torch.rand(1, 16, 24, 16, generator=generator),
        torch.rand(1, 8, 12, 32, generator=generator),
    )
    down, right = 5.25, -3.5
    moved = [tensor.numpy().copy() for tensor in state]
    mover = StateMover("yuv420", moved)
    mover.move(moved, 0, 0)
    for a, b in zip(moved, state, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    mover.move(moved, down, right)
    expected = translate(scene(64, 96), down, right, 6)
    luma, _, _ = training.unpack(torch.from_numpy(moved[0]), "yuv420")
    np.testing.assert_allclose(luma[0, 0], expected, atol=1e-5)
    assert moved[1][0, 4, 4, 0] == pytest.approx(9)
    assert moved[1][0, 0, 4, 0] == 0  # what came in was never seen
    trained = training.translate_state(state, torch.tensor([[down, right]]))
    # At the edges one repeats before the interpolation, the other one after it.
    for a, b in zip(moved, trained, strict=True):
        np.testing.assert_allclose(a[:, 3:-3, 3:-3], b[:, 3:-3, 3:-3], atol=1e-5)
    assert training.translate_state(state, torch.zeros(1, 2)) is state


def test_training_clips_are_told_their_motion() -> None:
    picture = scene(200, 200)
    clip = np.stack(
        [(picture[t : t + 128, 2 * t : 2 * t + 128] * 255) for t in range(4)]
    ).astype(np.uint8)
    shifts = training.clip_shifts(clip, np.random.default_rng(0))
    assert shifts.shape == (4, 2)
    assert not shifts[0].any()
    np.testing.assert_allclose(shifts[1:], [(-1, -2)] * 3, atol=0.3)
