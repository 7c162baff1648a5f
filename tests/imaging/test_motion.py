"""Motion: the flow, and warping the state along it."""

import cv2
import numpy as np
import pytest
import torch

from streamdenoise.imaging.blocks import gather_blocks, plane_shapes_of, scatter_blocks
from streamdenoise.imaging.motion import (
    CELL,
    FlowEstimator,
    MotionFollower,
    StateWarper,
    luma_of,
)
from streamdenoise.network.model import ModelSpec, State
from streamdenoise.network.packing import pack
from train.warp_state import find_flows, warp_state


def scene(height: int = 480, width: int = 640, seed: int = 0) -> np.ndarray:
    """A smooth random image in [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = rng.random((height, width)).astype(np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), r) * r for r in (1.2, 4, 12)]
    image = np.sum(layers, 0)
    return (image - image.min()) / (image.max() - image.min())


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
def test_finds_the_motion_of_a_noisy_image(
    right: float, down: float, peak: int, sigma: float
) -> None:
    last, now = scene(), shifted(scene(), right, down)
    flow = FlowEstimator().flow(shown(now, sigma, peak), shown(last, 0, peak), peak)
    assert flow is not None
    assert flow.shape == (480 // CELL, 640 // CELL, 2)
    inner = flow[4:-4, 4:-4].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), (-right, -down), atol=0.15)


@pytest.mark.parametrize("sigma", [0, 5, 40])
def test_noise_does_not_move(sigma: float) -> None:
    for image in (scene(), np.full((480, 640), 0.5, np.float32)):
        flow = FlowEstimator().flow(shown(image, sigma), shown(image), 255)
        assert flow is None or (flow != 0).any(-1).mean() < 0.02


def test_each_object_has_its_own_motion() -> None:
    background, thing = 0.3 + 0.2 * scene(), scene(200, 240, seed=9)
    last, now = background.copy(), shifted(background, -1.5, 0)
    last[120:320, 200:440] = thing
    now[120:320, 206:446] = thing
    flow = FlowEstimator().flow(shown(now, 3), shown(last), 255)
    assert flow is not None
    on_thing = flow[18:37, 30:52].reshape(-1, 2)
    np.testing.assert_allclose(np.median(on_thing, 0), (-6, 0), atol=0.3)
    beside = flow[4:12, 4:-4].reshape(-1, 2)
    np.testing.assert_allclose(np.median(beside, 0), (1.5, 0), atol=0.3)


def test_full_hd_is_measured_in_its_own_pixels() -> None:
    last = cv2.resize(scene(), (1920, 1088), interpolation=cv2.INTER_CUBIC)
    now = shifted(last, -30, 12)
    flow = FlowEstimator().flow(shown(now, 2), shown(last), 255)
    assert flow is not None
    inner = flow[8:-8, 8:-8].reshape(-1, 2)
    np.testing.assert_allclose(np.median(inner, 0), (30, -12), atol=0.2)


def test_a_search_does_not_depend_on_earlier_ones() -> None:
    estimator = FlowEstimator()
    pairs = [
        (shown(shifted(scene(h, w), 2, 1), 3), shown(scene(h, w)))
        for h, w in ((64, 64), (480, 640), (64, 64), (128, 128))
    ]
    for now, last in pairs:
        fresh = FlowEstimator().flow(now, last, 255)
        again = estimator.flow(now, last, 255)
        assert (fresh is None) == (again is None)
        if fresh is not None and again is not None:
            np.testing.assert_allclose(again, fresh, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (8, 1600), (24, 40), (40, 40), (48, 2400)])
def test_any_size_is_searched_or_skipped(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    now, last = rng.integers(0, 256, (2, *shape)).astype(np.uint8)
    flow = FlowEstimator().flow(now, last, 255)
    assert flow is None or np.isfinite(flow).all()


def random_state(height: int, width: int) -> dict[str, np.ndarray]:
    """A smooth state in the format of backends."""
    state = {}
    for name, (channels, part) in ModelSpec().state_channels().items():
        planes = [scene(height // part, width // part, c) for c in range(channels)]
        state[name] = np.stack(planes, -1)[None]
    images = [scene(height, width), *2 * [scene(height // 2, width // 2)]]
    gather_blocks(images, state["fused"][0])
    state["frames"] *= 9
    return state


def planes_of(blocks: np.ndarray) -> list[np.ndarray]:
    """The three planes of the fused frame of a state."""
    planes = [np.empty(shape, np.float32) for shape in plane_shapes_of(blocks[0])]
    scatter_blocks(blocks[0], planes)
    return planes


def packed_state(state: dict[str, np.ndarray]) -> State:
    """The same state in the format of the network."""
    planes = tuple(torch.from_numpy(p)[None, None] for p in planes_of(state["fused"]))
    frames, hidden, low = (
        torch.from_numpy(state[name].copy())
        for name in ("frames", "hidden", "hidden_low")
    )
    return pack(planes), frames, hidden, low


def test_state_warps_as_in_training() -> None:
    state = random_state(64, 96)
    before = packed_state(state)
    flow = np.zeros((8, 12, 2), np.float32)
    flow[:, :6] = (2.25, -1.5)
    flow[:, 6:] = (-3, 0.5)
    moved = StateWarper(state).warp(state, flow)
    trained = warp_state(before, torch.from_numpy(flow).permute(2, 0, 1)[None])
    # OpenCV rounds places to 1/32 of a pixel.
    for a, b in zip(packed_state(moved), trained, strict=True):
        scale = float(b.abs().max())
        np.testing.assert_allclose(a / scale, b / scale, atol=0.02)
        assert float((a - b).abs().mean()) < 0.002 * scale
    assert warp_state(before, None) is before


def test_whole_shifts_move_pixels_unchanged_and_edges_are_never_seen() -> None:
    state = random_state(64, 96)
    flow = np.full((8, 12, 2), (8, 16), np.float32)
    moved = StateWarper(state).warp(state, flow)
    for name, array in moved.items():
        part = 64 // array.shape[1]
        right, down = 8 // part, 16 // part
        inner = array[:, :-down, :-right]
        np.testing.assert_allclose(inner, state[name][:, down:, right:], atol=1e-5)
    assert not moved["frames"][:, -4:].any()
    assert not moved["frames"][:, :, -2:].any()
    edge = planes_of(moved["fused"])[0][-16:, :-8]
    np.testing.assert_allclose(edge - edge[:1], 0, atol=1e-5)


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


@pytest.mark.parametrize("size", [96, 128])
def test_the_warp_ignores_the_half_precision_of_the_network(size: int) -> None:
    state = packed_state(random_state(size, size))
    flow = torch.full((1, 2, size // 8, size // 8), 1.5)
    steps = torch.tensor([1])
    exact = warp_state(state, flow)
    found = find_flows(FlowEstimator(), exact[0], state[0], steps)
    with torch.autocast("cpu", torch.bfloat16):
        half = warp_state(state, flow)
        found_half = find_flows(FlowEstimator(), exact[0], state[0], steps)
    for a, b in zip(half, exact, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b)
    assert found is not None
    assert found_half is not None
    torch.testing.assert_close(found, found_half)


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
