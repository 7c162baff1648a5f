"""Changes of the light between frames."""

import numpy as np
import pytest

from streamdenoise.imaging.light import LightFollower
from streamdenoise.imaging.motion import CELL

HEIGHT, WIDTH = 128, 192


def planes(
    rng: np.random.Generator, offsets: tuple[float, ...], shift: int = 0
) -> list[np.ndarray]:
    """Noisy planes of yuv420, moved to the right."""
    result = []
    for number, offset in enumerate(offsets):
        step = 2 if number else 1
        rows, columns = np.indices((HEIGHT // step, WIDTH // step))
        scene = 110 + 40 * np.sin(rows * step / 17) * np.cos(
            (columns * step - shift) / 23
        )
        noisy = scene + offset + rng.normal(0, 8, scene.shape)
        result.append(noisy.round().clip(0, 255).astype(np.uint8))
    return result


@pytest.mark.parametrize("shift", [0, 6])
def test_a_change_of_the_white_balance_is_found(shift: int) -> None:
    rng = np.random.default_rng(0)
    follower = LightFollower()
    assert follower.change(planes(rng, (0, 0, 0)), None, 255) is None
    flow = None
    if shift:
        flow = np.zeros((HEIGHT // CELL, WIDTH // CELL, 2), np.float32)
        flow[..., 0] = -shift
    now = planes(rng, (0, 3, -2), shift)
    found = follower.change(now, flow, 255)
    assert found is not None
    assert np.array(found) * 255 == pytest.approx([0, 3, -2], abs=0.5)


def test_noise_objects_and_repeats_are_no_change_of_the_light() -> None:
    rng = np.random.default_rng(0)
    follower = LightFollower()
    for t in range(6):
        frame = planes(rng, (0, 0, 0))
        frame[0][20:100, 20 * t : 20 * t + 60] = 230
        change = follower.change(frame, None, 255) or [0, 0, 0]
        assert np.abs(change).max() * 255 < 1
    assert follower.change(frame, None, 255) is None
    follower.reset()
    assert follower.change(planes(rng, (9, 9, 9)), None, 255) is None


def test_tiny_frames_are_left_alone() -> None:
    follower = LightFollower()
    for level in (10, 200):
        tiny = np.full((32, 32), level, np.uint8)
        assert follower.change([tiny], None, 255) is None
