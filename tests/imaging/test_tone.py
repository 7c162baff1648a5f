"""The brightness of noisy frames near black and white."""

import numpy as np
import pytest

from streamdenoise.imaging.tone import ToneKeeper

SIDE = 256


def noisy(level: float, std: float, peak: int = 255, black: float = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    scale = peak / 255
    dirty = scale * (level + rng.normal(0, std, (SIDE, SIDE)))
    dtype = np.uint8 if peak == 255 else np.uint16
    return dirty.round().clip(black * scale, peak).astype(dtype)


def shifted(level: float, by: float, peak: int = 255) -> np.ndarray:
    """What a model made of it: a flat plane with a little left."""
    return noisy(level + by, 1.0, peak)


@pytest.mark.parametrize("peak", [255, 1023])
@pytest.mark.parametrize(
    ("level", "std", "by"), [(28, 8, -2.2), (40, 4, -0.6), (200, 20, 6.3), (110, 6, 1)]
)
def test_a_shift_is_taken_back(peak: int, level: float, std: float, by: float) -> None:
    before, clean = noisy(level, std, peak), shifted(level, by, peak)
    kept = ToneKeeper().keep(before, clean, peak, std / 255)
    assert kept.dtype == clean.dtype
    error = 255 / peak * (kept.mean() - before.mean())
    assert abs(error) < 0.35
    # Fractions of a level become a pattern of at most one.
    change = kept.astype(int) - clean
    assert change.max() - change.min() <= max(2, peak // 255)


def test_what_a_model_takes_from_clipped_noise_is_not_put_back() -> None:
    # Black at 16 clips half of it; the same noise below black does not.
    for black, is_kept in ((16, False), (0, True)):
        before, clean = noisy(18, 8, black=black), shifted(18, 0)
        assert before.mean() - clean.mean() == pytest.approx(2.4 * (black > 0), abs=0.2)
        darker = clean - np.uint8(1)
        kept = ToneKeeper().keep(before, darker, 255, 8 / 255)
        assert (kept is not darker) is is_kept
        assert kept.mean() - darker.mean() == pytest.approx(float(is_kept), abs=0.2)


def test_more_noise_than_there_is_clips_less_than_a_model_believes() -> None:
    before, clean = noisy(20, 8, black=16), shifted(20, -1.0)
    kept = ToneKeeper().keep(before, clean, 255, 8 / 255, excess=2.8)
    part = (kept.mean() - clean.mean()) / (before.mean() - clean.mean())
    assert part == pytest.approx(1 - 2.8**-2, abs=0.1)


def test_texture_and_small_planes_are_left_alone() -> None:
    bars = np.where(np.arange(SIDE) // 8 % 2, 40, 90)
    before = np.tile(bars, (SIDE, 1)).astype(np.uint8)
    clean = before - np.uint8(5)
    assert ToneKeeper().keep(before, clean, 255, 8 / 255) is clean
    tiny = before[:8]
    assert ToneKeeper().keep(tiny, tiny, 255, 8 / 255) is tiny


def test_a_chance_difference_changes_nothing() -> None:
    keeper = ToneKeeper()
    rng = np.random.default_rng(2)
    clean = np.full((96, 128), 60, np.uint8)
    for _ in range(20):
        before = (60 + rng.normal(0, 20, clean.shape)).clip(0, 255).astype(np.uint8)
        kept = keeper.keep(before + np.uint8(1), clean, 255, 20 / 255)
        assert abs(float(kept.mean()) - 60) < 0.75


def test_a_new_stream_starts_without_the_shifts_of_the_last_one() -> None:
    keeper = ToneKeeper()
    before, clean = noisy(28, 8), shifted(28, -2.2)
    first = keeper.keep(before, clean, 255, 8 / 255)
    same = np.full_like(before, 28)
    assert keeper.keep(same, same, 255, 8 / 255) is not same
    keeper.reset()
    assert keeper.keep(same, same, 255, 8 / 255) is same
    keeper.reset()
    np.testing.assert_array_equal(keeper.keep(before, clean, 255, 8 / 255), first)
