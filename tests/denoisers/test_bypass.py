"""Clean streams pass unchanged; nobody sees when."""

import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.denoisers.bypass import ENTER_SIGMA, LEAVE_SIGMA, Bypass
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.engine_loader import EngineLoader
from tests.denoisers.noisy_scene import noisy_frame


def shares(levels: list[float]) -> list[float]:
    bypass = Bypass()
    return [bypass.update(level) for level in levels]


def test_the_first_frames_decide_at_once() -> None:
    clean, noisy = ENTER_SIGMA / 2, LEAVE_SIGMA * 2
    assert shares([clean] * 3) == [0, 0, 0]
    assert shares([noisy] * 3) == [1, 1, 1]
    assert shares([clean, noisy, noisy]) == [0, 1, 1]
    assert shares([noisy, clean, clean]) == [1, 1, 1]


@pytest.mark.parametrize("middle", [ENTER_SIGMA, LEAVE_SIGMA])
@pytest.mark.parametrize("start", [ENTER_SIGMA / 2, LEAVE_SIGMA * 2])
def test_a_level_that_hovers_around_a_threshold_switches_once_at_most(
    start: float, middle: float
) -> None:
    rng = np.random.default_rng(0)
    levels = middle + rng.uniform(-0.14, 0.14, 500)
    found = np.array(shares([start, *levels]))
    ends = found[np.isin(found, (0, 1))]
    assert np.count_nonzero(np.diff(ends)) <= 1


def test_a_switch_is_a_fade_that_can_turn_back() -> None:
    bypass = Bypass()
    found = [bypass.update(1.0) for _ in range(4)]
    found += [bypass.update(0.1) for _ in range(28)]
    assert 0 < found[-1] < 1
    found += [bypass.update(1.0) for _ in range(28)]
    assert found[-1] == 1
    assert np.abs(np.diff(found)).max() <= 0.125
    found = [bypass.update(0.1) for _ in range(60)]
    assert found[-1] == 0


def test_a_new_scene_switches_at_once_and_keeps_to_the_side_it_was_on() -> None:
    bypass = Bypass()
    between = (ENTER_SIGMA + LEAVE_SIGMA) / 2
    for before, after in ((1.0, 1.0), (0.1, 0.0)):
        bypass.reset()
        bypass.update(before)
        bypass.reset()
        assert bypass.update(between) == after
    bypass.reset()
    assert bypass.update(1.0) == 1


class Scripted(NoiseLevel):
    """Knows the level of each frame."""

    def __init__(self, levels: np.ndarray) -> None:
        super().__init__()
        self._next = iter(levels)

    def update(self, *_: object, **__: object) -> np.ndarray:
        return np.full(7, next(self._next) / 255, np.float32)


def test_nothing_jumps_where_a_stream_becomes_clean_and_noisy_again() -> None:
    levels = np.concatenate([np.full(12, 0.5), np.full(40, 0.1), np.full(30, 0.5)])
    means, changes, passed, estimated = [], [], [], []
    artifact = open_artifact("nano-awgn")
    loader = EngineLoader(artifact, threads=1)
    with Denoiser(artifact, loader, noise=Scripted(levels)) as denoiser:
        for index, level in enumerate(levels):
            frame = noisy_frame("gray", 96, 128, noise_std=level / 255, index=index)
            (out,) = denoiser.process(frame)
            difference = out.planes[0].astype(float) - frame.planes[0]
            passed.append(out is frame)
            estimated.append(denoiser.psnr_estimate is not None)
            means.append(difference.mean())
            changes.append(difference.std())
    assert passed == [42 <= index < 52 for index in range(len(levels))]
    assert estimated == [not unchanged for unchanged in passed]
    assert np.abs(means).max() < 0.1
    assert np.abs(np.diff(changes))[20:].max() < 0.25
