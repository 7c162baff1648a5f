"""Windows in what stands still: nobody can see that the rest was not computed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.imaging.noise_profile import white_profile
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import Backend, LaneInput
from streamdenoise.inference.backends import openvino
from streamdenoise.inference.backends.openvino_stream import OpenVinoStream
from streamdenoise.inference.backends.openvino_windows import StillTiles, Window
from streamdenoise.inference.backends.tiled import TiledBackend
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.kernels.stillness import look_at_tiles

pytestmark = pytest.mark.long

HEIGHT, WIDTH = 448, 640
SIGMA = 10.0
FRAMES, CHANGES = 44, 22
"""Frames of a scene, and the one from which on something happens."""

Planes = tuple[np.ndarray, ...]
Scene = Callable[[int, np.ndarray], np.ndarray]


def background(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Luma of a still scene: smooth places, edges and texture."""
    rng = np.random.default_rng(5)
    small = rng.uniform(60, 190, (height // 56, width // 64)).astype(np.float32)
    areas = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    texture = cv2.GaussianBlur(
        rng.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 1.5
    )
    texture[: height // 2] = 0
    return cv2.GaussianBlur(areas, (0, 0), 1) + texture


def still(t: int, luma: np.ndarray) -> np.ndarray:
    return luma


def pan(t: int, luma: np.ndarray) -> np.ndarray:
    """A fifth of a pixel a frame."""
    way = np.array([[1, 0, -0.2 * max(t - CHANGES, 0)], [0, 1, 0]], np.float32)
    size = (luma.shape[1], luma.shape[0])
    return cv2.warpAffine(
        luma, way, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def lamp(t: int, luma: np.ndarray) -> np.ndarray:
    lit = luma.copy()
    lit[:, : WIDTH // 2] += 30 * (t >= CHANGES)
    return lit


def dawn(t: int, luma: np.ndarray) -> np.ndarray:
    """A third of a level a frame, in the left half."""
    lit = luma.copy()
    lit[:, : WIDTH // 2] += max(t - CHANGES, 0) / 3
    return lit


def rain(t: int, luma: np.ndarray) -> np.ndarray:
    wet, rng = luma.copy(), np.random.default_rng(t)
    for _ in range(60 * (t >= CHANGES)):
        y, x = rng.integers(HEIGHT - 12), rng.integers(WIDTH)
        wet[y : y + 12, x] += 60
    return wet


def visitor(t: int, luma: np.ndarray) -> np.ndarray:
    """An object of 90 x 50 pixels that walks in from the left."""
    seen, x = luma.copy(), 4 * (t - CHANGES)
    if x > 0:
        seen[160:250, max(x - 50, 0) : x] = 230 - luma[60:150, max(x - 50, 0) : x]
    return seen


SCENES: dict[str, Scene] = {
    each.__name__: each for each in (still, pan, lamp, dawn, rain, visitor)
}


def clean_planes(scene: Scene, t: int, luma: np.ndarray) -> Planes:
    light = scene(t, luma)
    height, width = light.shape
    return light, *(np.full((height // 2, width // 2), 128, np.float32),) * 2


def noisy_planes(
    request: StepRequest, clean: Planes, t: int, sigma: float = SIGMA
) -> Planes:
    rng = np.random.default_rng(1000 + t)
    scale = request.peak / 255
    stds = (sigma, sigma / 2, sigma / 2)
    noisy = (p + rng.normal(0, s, p.shape) for p, s in zip(clean, stds, strict=True))
    return tuple(
        (plane * scale).round().clip(0, request.peak).astype(request.dtype)
        for plane in noisy
    )


def requested(
    height: int = HEIGHT, width: int = WIDTH, depth: int = 8, streams: int = 1
) -> StepRequest:
    return StepRequest(
        "openvino", open_artifact("nano"), height, width, depth, 1, streams
    )


def told(request: StepRequest) -> np.ndarray:
    profile = white_profile([SIGMA, SIGMA / 2, SIGMA / 2])
    return (request.artifact.told(profile) / 255).astype(np.float32)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[list[Window] | None]:
    """What was run in each step: windows, or None for the whole frame."""
    kept: list[list[Window] | None] = []
    choose = StillTiles.windows

    def watched(self: StillTiles, *given: Any) -> list[Window] | None:
        kept.append(choose(self, *given))
        return kept[-1]

    monkeypatch.setattr(StillTiles, "windows", watched)
    return kept


@pytest.fixture
def load() -> Iterator[Callable[[StepRequest], OpenVinoStream]]:
    with ExitStack() as stack:

        def loaded(request: StepRequest) -> OpenVinoStream:
            backend = openvino.load(request)
            stack.callback(backend.close)
            return backend

        yield loaded


Load = Callable[[StepRequest], OpenVinoStream]
Found = list[list[Window] | None]


def forget_what_was_kept(backend: Backend) -> None:
    """For a state that comes from elsewhere nothing was kept."""
    backend.set_state([each.copy() for each in backend.state()])


def run(
    request: StepRequest,
    backend: Backend,
    scene: Scene,
    *,
    whole: bool = False,
    louder: float = 1.0,
) -> Iterator[np.ndarray]:
    """Errors of luma, in 8-bit levels; the noise is `louder` after the change."""
    follower, luma = MotionFollower(), background(request.height, request.width)
    for t in range(FRAMES):
        clean = clean_planes(scene, t, luma)
        sigma = SIGMA * (louder if t >= CHANGES else 1)
        noisy = noisy_planes(request, clean, t, sigma)
        flow = follower.flow(noisy, request.peak)
        if flow is not None:
            backend.warp(flow)
        if whole:
            forget_what_was_kept(backend)
        planes = backend.step(noisy, told(request))
        follower.remember(planes)
        yield planes[0] * np.float32(255 / request.peak) - clean[0]


def step_at(errors: Sequence[np.ndarray], axis: int, is_border: bool) -> float:
    """Mean step of errors between blocks: at the borders of tiles, or at others."""
    mean = 0.0
    for error in errors:
        steps = np.abs(np.diff(error, axis=axis)).mean(1 - axis)
        places = np.arange(8, len(steps), 8)
        mean += steps[places[(places % 64 == 0) == is_border] - 1].mean()
    return mean / len(errors)


@pytest.mark.parametrize("name", [*SCENES, "louder"])
def test_looks_like_the_whole_frame(name: str, load: Load, found: Found) -> None:
    request = requested()
    scene, louder = SCENES.get(name, still), 2.0 if name == "louder" else 1.0
    pair = load(request), load(request)
    in_windows = list(run(request, pair[0], scene, louder=louder))
    chosen = list(found)
    whole = list(run(request, pair[1], scene, whole=True, louder=louder))

    assert chosen[:4] == [None] * 4
    assert sum(each is not None for each in chosen[:CHANGES]) > CHANGES // 3
    assert found[len(chosen) :] == [None] * FRAMES
    gained = [
        10 * np.log10(np.square(b).mean() / np.square(a).mean())
        for a, b in zip(in_windows, whole, strict=True)
    ]
    assert np.mean(gained) > -0.05
    assert min(gained) > -0.3
    for axis in (0, 1):
        steps = [
            step_at(errors, axis, True) / step_at(errors, axis, False)
            for errors in (in_windows[8:], whole[8:])
        ]
        assert steps[0] < 1.03 * steps[1]


def test_no_frame_pays_for_all_of_the_refresh(load: Load, found: Found) -> None:
    """And every place gets its turn."""
    request = requested(720, 1280)
    list(run(request, load(request), still))
    later = found[12:]
    share = 224 * 288 / (720 * 1280)
    assert all(each is not None and len(each) * share < 0.5 for each in later)
    turns = np.zeros((720 // 8, 1280 // 8))
    for windows in later:
        for rows, columns in windows or []:
            y, x = rows.kept, columns.kept
            turns[y.start // 8 : y.stop // 8, x.start // 8 : x.stop // 8] += 1
    assert turns.min() >= 2


@pytest.mark.parametrize(("height", "width", "depth"), [(456, 648, 10), (560, 472, 8)])
def test_any_size_and_depth(
    height: int, width: int, depth: int, load: Load, found: Found
) -> None:
    request = requested(height, width, depth)
    pair = load(request), load(request)
    in_windows = list(run(request, pair[0], still))[-1]
    assert any(found)
    whole = list(run(request, pair[1], still, whole=True))[-1]
    assert np.square(in_windows).mean() < 1.02 * np.square(whole).mean()


def test_small_frames_are_run_whole(load: Load, found: Found) -> None:
    request = requested(360, 640)
    list(run(request, load(request), still))
    assert found == [None] * FRAMES


@pytest.mark.parametrize("how", ["reset", "set_state"])
def test_nothing_is_kept_across_states(how: str, load: Load, found: Found) -> None:
    request = requested()
    used, fresh = load(request), load(request)
    list(run(request, used, still))
    assert found[-1] is not None
    clean = clean_planes(still, 0, background())
    if how == "reset":
        used.reset()
    else:
        used.set_state([each.copy() for each in fresh.state()])
    for t in range(3):
        noisy = noisy_planes(request, clean, t)
        expected = fresh.step(noisy, told(request))
        np.testing.assert_equal(used.step(noisy, told(request)), expected)
    assert found[-6:] == [None] * 6


def test_what_moves_is_run(load: Load, found: Found) -> None:
    """Its state was warped, and what was kept for it was not."""
    request = requested()
    backend = load(request)
    list(run(request, backend, still))
    flow = np.zeros((HEIGHT // 8, WIDTH // 8, 2), np.float32)
    flow[8:16, 24:32] = 1.5
    backend.warp(flow)
    clean = clean_planes(still, 0, background())
    backend.step(noisy_planes(request, clean, FRAMES), told(request))
    windows = found[-1]
    assert windows is not None
    assert any(
        y.kept.start <= 64 < y.kept.stop and x.kept.start <= 192 < x.kept.stop
        for y, x in windows
    )


def test_streams_keep_their_own(load: Load, found: Found) -> None:
    request = requested(streams=2)
    batch, alone = load(request), load(replace(request, streams=1))
    sigma, luma = told(request), background()
    for t in range(16):
        first, second = (
            noisy_planes(request, clean_planes(scene, CHANGES + t, luma), t)
            for scene in (still, visitor)
        )
        both = {0: LaneInput(first, sigma), 1: LaneInput(second, sigma)}
        result = batch.step_lanes(both)[1]
        np.testing.assert_equal(result, alone.step(second, sigma))
    assert any(found)


def test_tiles_of_large_frames_are_run_whole(load: Load, found: Found) -> None:
    """One engine serves all of them, so that it has no past of its own."""
    request = requested(HEIGHT, 2 * WIDTH)
    engine = load(replace(request, width=WIDTH + 96))
    backend = TiledBackend(request, engine, (HEIGHT, WIDTH + 96))
    luma = background(HEIGHT, 2 * WIDTH)
    for t in range(12):
        clean = clean_planes(still, t, luma)
        backend.step(noisy_planes(request, clean, t), told(request))
    assert found == [None] * 24


def test_sums_of_tiles() -> None:
    rng = np.random.default_rng(0)
    height, width, seen = 20, 40, 50
    gain = rng.uniform(0, 0.4, (height, 4 * width)).astype(np.float32)
    frames = rng.uniform(0, 4, (height, 4 * width)).astype(np.float32)
    head = rng.integers(0, 256, (height, width * seen), np.uint8)
    kept = rng.uniform(0, 1, (height, width)).astype(np.float32)
    bands = gain.reshape(height, width, 4)
    woke = (bands * (1 + frames.reshape(bands.shape)) > 1.5).any(-1)
    woke |= bands.mean(-1) > 0.2
    left = kept * (1 - 2 * bands.mean(-1))
    changes = head.reshape(height, width, seen)[..., [24, 40, 44]]
    woken, fresh = (np.full((2, 3), np.nan, np.float32) for _ in range(2))
    change = np.full((2, 9), np.nan, np.float32)
    assert not look_at_tiles.why_not()
    look_at_tiles(
        *(gain, frames, head, kept, woken, change, fresh),
        *(np.empty((2, 1), np.float32), 0, 2),
    )
    np.testing.assert_allclose(kept, left, atol=1e-6)
    for y in range(2):
        for x in range(3):
            tile = np.s_[16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
            assert woken[y, x] == pytest.approx(woke[tile].mean(), abs=1e-5)
            assert fresh[y, x] == pytest.approx(left[tile].mean(), abs=1e-5)
            means = changes[tile].mean((0, 1))
            np.testing.assert_allclose(change[y, 3 * x : 3 * x + 3], means, rtol=1e-4)
