"""Footage that is difficult to denoise: light that changes, frames that repeat."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from streamdenoise import Denoiser
from tests.denoisers.noisy_scene import scene

HEIGHT, WIDTH, SIGMA = 96, 128, 8.0
TEXTURE = 20 + 150 * scene(HEIGHT, WIDTH)
"""A clean luma in limited range."""


@pytest.fixture(scope="module")
def denoiser() -> Iterator[Denoiser]:
    with Denoiser.load("nano", threads=1) as denoiser:
        yield denoiser


def noisy(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A gray frame with white noise."""
    dirty = clean + rng.normal(0, SIGMA, clean.shape)
    return dirty.round().clip(0, 255).astype(np.uint8)


def denoised(denoiser: Denoiser, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    denoiser.reset()
    return [denoiser(frame, "gray") for frame in frames]


def errors(cleans: Sequence[np.ndarray], frames: Sequence[np.ndarray]) -> list[float]:
    """Root mean square error of each frame, in 8-bit levels."""
    pairs = zip(cleans, frames, strict=True)
    return [float(np.sqrt(np.square(a - np.float64(b)).mean())) for a, b in pairs]


def still(_: int) -> np.ndarray:
    return TEXTURE


def fading(t: int) -> np.ndarray:
    return 16 + (TEXTURE - 16) * max(0.0, 1 - t / 20)


def flashing(t: int) -> np.ndarray:
    return np.minimum(TEXTURE + 60, 235) if t == 12 else TEXTURE


def raining(t: int) -> np.ndarray:
    rain = TEXTURE.copy()
    rng = np.random.default_rng(t)
    for top, left in rng.integers((0, 0), (HEIGHT - 12, WIDTH), (12, 2)):
        rain[top : top + 12, left] = 230
    return rain


def titled(t: int) -> np.ndarray:
    moving = np.roll(TEXTURE, 2 * t, 1)
    moving[60:76, 20:100] = np.where(np.arange(80) // 2 % 3 == 0, 235, 40)
    return moving


@pytest.mark.parametrize("clip", [still, fading, flashing, raining, titled])
def test_no_frame_is_further_from_the_truth_than_it_was(
    denoiser: Denoiser, clip: Callable[[int], np.ndarray]
) -> None:
    rng = np.random.default_rng(0)
    cleans = [clip(t) for t in range(24)]
    frames = [noisy(clean, rng) for clean in cleans]
    before, after = errors(cleans, frames), errors(cleans, denoised(denoiser, frames))
    assert all(a < b for a, b in zip(after, before, strict=True))
    assert np.mean(after[4:]) < 0.75 * np.mean(before[4:])


def test_a_fade_is_as_bright_as_it_was(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    # Not down to black, where noise is clipped and has another mean.
    frames = [noisy(fading(t) + 30, rng) for t in range(24)]
    out = denoised(denoiser, frames)
    shifts = [float(b.mean() - a.mean()) for a, b in zip(frames, out, strict=True)]
    assert np.abs(shifts).max() < 0.5, np.round(shifts, 2)


def test_rain_keeps_falling(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    out = denoised(denoiser, [noisy(raining(t), rng) for t in range(16)])
    for t in (8, 15):
        drops = raining(t) - TEXTURE
        slope = float((drops * (out[t] - TEXTURE)).sum() / np.square(drops).sum())
        assert slope > 0.7


def test_letterbox_bars_stay_black_and_hide_no_noise(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    cleans = [np.roll(TEXTURE, t, 1) for t in range(12)]
    frames = [noisy(clean, rng) for clean in cleans]
    bars = np.full((24, WIDTH), 16, np.uint8)
    boxed = [np.concatenate([bars, frame, bars]) for frame in frames]
    open_, level = denoised(denoiser, frames), denoiser.sigma
    shown = denoised(denoiser, boxed)
    assert denoiser.sigma == pytest.approx(level, rel=0.2)
    for frame in shown:
        assert np.abs(frame[:22].astype(int) - 16).max() <= 1
        assert np.abs(frame[-22:].astype(int) - 16).max() <= 1
    inner = [frame[24:-24] for frame in shown]
    assert np.mean(errors(cleans, inner)) < 1.15 * np.mean(errors(cleans, open_))


@pytest.mark.parametrize(
    "repeats",
    [[1] * 6 + [18], [2] * 12, [3, 2] * 5],
    ids=["frozen", "duplicates", "telecine"],
)
def test_repeated_frames_are_not_taken_for_clean_ones(
    denoiser: Denoiser, repeats: list[int]
) -> None:
    rng = np.random.default_rng(0)
    frames = [x for n in repeats for x in n * [noisy(TEXTURE, rng)]]
    cleans = [TEXTURE] * len(frames)
    after = errors(cleans, denoised(denoiser, frames))
    assert max(after) < 0.75 * errors(cleans, frames)[0]
    assert denoiser.sigma == pytest.approx(SIGMA, rel=0.25)


def test_whole_frames_of_a_hard_telecine_gain_and_combed_ones_stay(
    denoiser: Denoiser,
) -> None:
    rng = np.random.default_rng(0)
    # Film frames last two and three fields by turns, so every second pair of frames has
    # lines of two film frames.
    films = [np.roll(TEXTURE, 2 * n, 1) for n in range(16)]
    dirty = [noisy(film, rng) for film in films]
    fields = [n for n in range(16) for _ in range(2 + n % 2)]
    pairs = list(zip(fields[::2], fields[1::2], strict=True))

    def woven(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        is_top = np.arange(HEIGHT)[:, None] % 2 == 0
        return [np.where(is_top, parts[top], parts[low]) for top, low in pairs]

    cleans, frames = woven(films), woven(dirty)
    before, after = errors(cleans, frames), errors(cleans, denoised(denoiser, frames))
    for (top, low), noise, left in zip(pairs, before, after, strict=True):
        assert left < (0.8 if top == low else 1.05) * noise


def test_the_output_is_as_bright_as_the_input(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    for level in (60, 110, 180):
        flat = np.full((HEIGHT, WIDTH), level, np.float64)
        frames = [noisy(flat, rng) for _ in range(8)]
        shifts = [
            (out.astype(float) - frame).reshape(HEIGHT // 16, 16, -1, 16).mean((1, 3))
            for out, frame in zip(denoised(denoiser, frames), frames, strict=True)
        ]
        # The mean of 256 noisy pixels is half a level off by itself.
        assert np.abs(np.mean(shifts, 0)).max() < 0.5


@pytest.mark.parametrize("strength", [1, 2, 4])
@pytest.mark.parametrize(("level", "sigma"), [(20, 4), (28, 8), (44, 8), (225, 8)])
def test_nothing_becomes_darker_near_black_nor_brighter_near_white(
    level: int, sigma: int, strength: float
) -> None:
    rng = np.random.default_rng(0)
    shifts = []
    with Denoiser.load("nano", strength=strength, threads=1) as denoiser:
        for _ in range(24):
            dirty = rng.normal(level, sigma, (2 * HEIGHT, 2 * WIDTH)).round()
            frame = dirty.clip(0, 255).astype(np.uint8)
            change = denoiser(frame, "gray").astype(float) - frame
            shifts.append(change.reshape(HEIGHT // 8, 16, -1, 16).mean((1, 3)))
    # From the first frame on; the network sees less at the borders of the frame.
    assert abs(shifts[0].mean()) < 0.5
    cells = np.abs(np.mean(shifts, 0))
    assert cells[1:-1, 1:-1].max() < 0.5
    assert cells.max() < 1


def border_ratio(residue: np.ndarray) -> float:
    """Squared steps at the borders of blocks of 4x4, over those within them."""
    steps = np.square(np.diff(residue, axis=-1)).mean(0)
    at_border = np.arange(len(steps)) % 4 == 3
    return float(steps[at_border].mean() / steps[~at_border].mean())


def test_flat_places_show_no_grid_and_become_cleaner_with_time(
    denoiser: Denoiser,
) -> None:
    rng = np.random.default_rng(0)
    flat = np.full((2 * HEIGHT, 2 * WIDTH), 110.0)
    frames = [np.rint(flat + rng.normal(0, 20, flat.shape)) for _ in range(14)]
    out = denoised(denoiser, [frame.clip(0, 255).astype(np.uint8) for frame in frames])
    residues = [frame - frame.mean() for frame in out]
    assert border_ratio(residues[0]) < 2.5
    assert border_ratio(residues[-1]) < 1.6
    left = [float(residue.std()) for residue in residues]
    assert left[0] < 4.5
    assert all(after < 1.1 * min(left[: t + 1]) for t, after in enumerate(left))
    assert left[-1] < 1.3


def test_color_stays_with_the_object_that_moves(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    denoiser.reset()
    lags = []
    for t in range(20):
        clean = np.full((HEIGHT * 3 // 2, WIDTH), 128.0)
        clean[:HEIGHT] = TEXTURE
        chroma = clean[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
        left = 4 + 2 * t
        chroma[0, 12:36, left : left + 16] = 90
        chroma[1, 12:36, left : left + 16] = 190
        clean[24:72, 2 * left : 2 * left + 32] = 120
        noise = rng.normal(0, 10, clean.shape)
        noise[HEIGHT:] /= 2
        dirty = (clean + noise).round().clip(0, 255).astype(np.uint8)
        out = denoiser(dirty, "yuv420p").astype(float)
        if t > 4:
            passed = out[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)[..., :left]
            behind = passed[:, 12:36, left - 6 : left - 1]
            lags.append(np.abs(behind.mean((1, 2)) - 128).max())
    assert np.mean(lags) < 2


def test_colors_follow_the_white_balance(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    denoiser.reset()
    lags = []
    for t in range(24):
        clean = np.full((2 * HEIGHT * 3 // 2, 2 * WIDTH), 128.0)
        clean[: 2 * HEIGHT] = np.tile(TEXTURE, (2, 2))
        chroma = clean[2 * HEIGHT :].reshape(2, HEIGHT, WIDTH)
        chroma += np.array([0.6, -0.8])[:, None, None] * min(12, max(0, t - 8))
        noise = rng.normal(0, 8, clean.shape)
        dirty = (clean + noise).round().clip(0, 255).astype(np.uint8)
        out = denoiser(dirty, "yuv420p").astype(float)
        error = (out - clean)[2 * HEIGHT :].reshape(2, -1).mean(1)
        lags.append(np.abs(error).max())
    assert max(lags[8:]) < 1.2
