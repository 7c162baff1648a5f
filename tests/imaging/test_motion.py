"""Motion: the flow from a frame to the last one."""

import cv2
import numpy as np
import pytest
import torch

from streamdenoise.imaging.flow_search import (
    CompiledSearch,
    OpenCvSearch,
    compared,
    why_not_compiled,
)
from streamdenoise.imaging.motion import (
    CELL,
    FlowEstimator,
    MotionFollower,
    luma_of,
)
from streamdenoise.kernels import matching, search
from streamdenoise.network.packing import pack
from tests.imaging.scenes import scene
from train.warp_state import find_flows

BOTH = pytest.mark.parametrize("kind", [CompiledSearch, OpenCvSearch])
Kind = type[CompiledSearch] | type[OpenCvSearch]


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    assert why_not_compiled() == ""


def shifted(image: np.ndarray, right: float, down: float) -> np.ndarray:
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def shown(image: np.ndarray, sigma: float = 0.0, peak: int = 255) -> np.ndarray:
    rng = np.random.default_rng(5)
    levels = (image * 200 + 20 + rng.normal(0, sigma, image.shape)) * peak / 255
    return levels.round().clip(0, peak).astype(np.uint8 if peak == 255 else np.uint16)


@pytest.mark.parametrize("sigma", [2, 20])
@pytest.mark.parametrize("peak", [255, 1023])
@pytest.mark.parametrize(("right", "down"), [(0.6, -0.4), (3.3, 1.7), (-11.2, 7.0)])
@BOTH
def test_finds_the_motion_of_a_noisy_image(
    right: float, down: float, peak: int, sigma: float, kind: Kind
) -> None:
    last, now = scene(), shifted(scene(), right, down)
    flow = FlowEstimator(kind()).flow(
        shown(now, sigma, peak), shown(last, 0, peak), peak
    )
    assert flow is not None
    assert flow.shape == (480 // CELL, 640 // CELL, 2)
    inner = flow[4:-4, 4:-4].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), (-right, -down), atol=0.15)


@pytest.mark.parametrize("sigma", [0, 5, 40])
@BOTH
def test_noise_does_not_move(sigma: float, kind: Kind) -> None:
    for image in (scene(), np.full((480, 640), 0.5, np.float32)):
        flow = FlowEstimator(kind()).flow(shown(image, sigma), shown(image), 255)
        assert flow is None or (flow != 0).any(-1).mean() < 0.02


@BOTH
def test_each_object_has_its_own_motion(kind: Kind) -> None:
    background, thing = 0.3 + 0.2 * scene(), scene(200, 240, seed=9)
    last, now = background.copy(), shifted(background, -1.5, 0)
    last[120:320, 200:440] = thing
    now[120:320, 206:446] = thing
    flow = FlowEstimator(kind()).flow(shown(now, 3), shown(last), 255)
    assert flow is not None
    on_thing = flow[18:37, 30:52].reshape(-1, 2)
    np.testing.assert_allclose(np.median(on_thing, 0), (-6, 0), atol=0.3)
    beside = flow[4:12, 4:-4].reshape(-1, 2)
    np.testing.assert_allclose(np.median(beside, 0), (1.5, 0), atol=0.3)


@BOTH
def test_full_hd_is_measured_in_its_own_pixels(kind: Kind) -> None:
    last = cv2.resize(scene(), (1920, 1088), interpolation=cv2.INTER_CUBIC)
    now = shifted(last, -30, 12)
    flow = FlowEstimator(kind()).flow(shown(now, 2), shown(last), 255)
    assert flow is not None
    inner = flow[8:-8, 8:-8].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), (30, -12), atol=0.2)


@BOTH
def test_a_search_does_not_depend_on_earlier_ones(kind: Kind) -> None:
    estimator = FlowEstimator(kind())
    pairs = [
        (shown(shifted(scene(h, w), 2, 1), 3), shown(scene(h, w)))
        for h, w in ((64, 64), (480, 640), (64, 64), (128, 128))
    ]
    for now, last in pairs:
        fresh = FlowEstimator(kind()).flow(now, last, 255)
        again = estimator.flow(now, last, 255)
        assert (fresh is None) == (again is None)
        if fresh is not None and again is not None:
            np.testing.assert_allclose(again, fresh, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (8, 1600), (24, 40), (40, 40), (48, 2400)])
@BOTH
def test_any_size_is_searched_or_skipped(shape: tuple[int, int], kind: Kind) -> None:
    rng = np.random.default_rng(4)
    now, last = rng.integers(0, 256, (2, *shape)).astype(np.uint8)
    flow = FlowEstimator(kind()).flow(now, last, 255)
    assert flow is None or np.isfinite(flow).all()


@pytest.mark.parametrize("step", [2, 3, 5])
def test_frames_are_reduced_as_with_opencv(step: int) -> None:
    frame = shown(scene(104, 200), 20)
    height, width = (side // step for side in frame.shape)
    small = np.empty((height, width), np.uint8)
    search.reduce(frame, step, np.empty(200, np.int32), small)
    whole = frame[: height * step, : width * step]
    expected = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    # Halves may be rounded to either side.
    np.testing.assert_allclose(small, expected, atol=1)
    assert (small != expected).mean() < 0.1


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_flows_are_judged_as_with_opencv(step: int) -> None:
    rng = np.random.default_rng(6)
    cells = (10, 15)
    now, then = (shown(scene(80 // step, 120 // step, seed)) for seed in (1, 2))
    flow = rng.normal(0, 4, (*cells, 2)).astype(np.float32).round(1)
    flow[0], flow[:, 0], flow[5, 5] = (-300, -2), (3, 500), 0
    left, still = np.empty((2, *cells), np.float32)
    matching.differences(now, then, flow, step, left, still)
    expected, expected_still = compared(now, then, flow)
    # OpenCV rounds the pixels between pixels to whole levels.
    np.testing.assert_allclose(left**0.5, expected**0.5, atol=1)
    np.testing.assert_allclose(still, expected_still, rtol=1e-5)
    assert left[5, 5] == still[5, 5]


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("sigma", [1, 4])
def test_a_slow_pan_over_little_contrast_is_not_missed(
    sigma: float, speed: float
) -> None:
    last, now = (0.3 + 0.4 * each for each in (scene(), shifted(scene(), speed, 0)))
    images = (shown(now, sigma), shown(last, sigma / 3))
    moving = []
    for kind in (CompiledSearch, OpenCvSearch):
        flow = FlowEstimator(kind()).flow(*images, 255)
        assert flow is not None
        moves = (flow != 0).any(-1)
        moving.append(moves.mean())
        np.testing.assert_allclose(np.median(flow[moves], 0), (-speed, 0), atol=0.2)
    assert moving[0] >= max(0.1, moving[1])


@BOTH
def test_a_small_thing_that_moves_far_is_found(kind: Kind) -> None:
    background, thing = 0.3 + 0.2 * scene(720, 1280), scene(64, 64, seed=9)
    last, now = background.copy(), background.copy()
    last[300:364, 600:664] = thing
    now[310:374, 624:688] = thing
    flow = FlowEstimator(kind()).flow(shown(now, 5), shown(last, 1), 255)
    assert flow is not None
    inner = flow[40:46, 79:85].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), (-24, -10), atol=0.5)
    elsewhere = flow.copy()
    elsewhere[34:50, 70:90] = 0
    assert (elsewhere != 0).any(-1).mean() < 0.02


@BOTH
def test_a_size_that_cells_do_not_divide_is_judged_too(kind: Kind) -> None:
    last, now = scene(1080, 1920), shifted(scene(1080, 1920), 9, -6)
    flow = FlowEstimator(kind()).flow(shown(now), shown(last), 255, 3)
    assert flow is not None
    inner = flow[8:-8, 8:-8].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), (-9, 6), atol=0.2)


def test_follower_needs_a_last_frame_of_the_same_stream() -> None:
    follower = MotionFollower()
    last, now = shown(scene()), shown(shifted(scene(), 5, 0))
    assert follower.flow([now], 255) is None
    follower.remember([last])
    follower.reset()
    assert follower.flow([now], 255) is None
    follower.remember([last])
    last[...] = 0  # the remembered frame is a copy
    flow = follower.flow([now], 255)
    assert flow is not None
    np.testing.assert_allclose(np.median(flow.reshape(-1, 2), 0), (-5, 0), atol=0.2)


def test_training_searches_motion_only_where_steps_say_so() -> None:
    last, now = scene(128, 128), shifted(scene(128, 128), 3, -2)
    frames = [
        torch.from_numpy(shown(image)[None, None] / np.float32(255))
        for image in (now, last)
    ]
    gray = torch.full((1, 1, 64, 64), 0.5)
    packed_now, packed_last = (pack((frame, gray, gray)) for frame in frames)
    noisy, denoised = (
        packed.expand(3, -1, -1, -1) for packed in (packed_now, packed_last)
    )
    flows = find_flows(FlowEstimator(), noisy, denoised, torch.tensor([0, 1, 2]))
    assert flows is not None
    assert flows.shape == (3, 2, 16, 16)
    assert not flows[0].any()
    for flow in flows[1:]:
        middle = flow[:, 4:-4, 4:-4].flatten(1).median(1).values
        np.testing.assert_allclose(middle, (-3, 2), atol=0.3)
    assert find_flows(FlowEstimator(), noisy, noisy, torch.tensor([1, 1, 1])) is None


def test_motion_is_searched_in_luma_or_the_mean_of_rgb() -> None:
    planes = [np.full((8, 16), level, np.uint8) for level in (30, 60, 120)]
    np.testing.assert_array_equal(luma_of(planes), np.full((8, 16), 70))
    y, u, v = planes[0], planes[1][::2, ::2], planes[2][::2, ::2]
    assert luma_of((y, u, v)) is y
    assert luma_of((y,)) is y
