"""Warping the state along a flow: compiled, with OpenCV, and in training."""

import numpy as np
import pytest
import torch

from streamdenoise.imaging.blocks import (
    LAYOUT_CHANNELS,
    gather_blocks,
    plane_shapes_of,
    scatter_blocks,
)
from streamdenoise.imaging.motion import FlowEstimator
from streamdenoise.imaging.state_warper import (
    CompiledWarper,
    OpenCvWarper,
    StateWarper,
    why_not_compiled,
)
from streamdenoise.network.model import ModelSpec, State
from streamdenoise.network.packing import pack
from tests.imaging.scenes import scene
from train.warp_state import find_flows, warp_state

BOTH = pytest.mark.parametrize("kind", [CompiledWarper, OpenCvWarper])
Kind = type[CompiledWarper] | type[OpenCvWarper]


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    assert why_not_compiled() == ""


def random_state(
    height: int, width: int, layout: str = "yuv420"
) -> dict[str, np.ndarray]:
    """A smooth state in the format of backends."""
    state = {}
    for name, (channels, part) in ModelSpec(layout=layout).state_channels().items():
        planes = [scene(height // part, width // part, c) for c in range(channels)]
        state[name] = np.stack(planes, -1)[None]
    images = [scene(*shape) for shape in plane_shapes_of(state["fused"][0])]
    gather_blocks(images, state["fused"][0])
    state["frames"] *= 9
    return state


def copied(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in state.items()}


def planes_of(blocks: np.ndarray) -> list[np.ndarray]:
    """The planes of the fused frame of a state."""
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


def test_compiled_code_is_used() -> None:
    state = random_state(64, 96)
    flow = np.full((8, 12, 2), (1.3, -0.7), np.float32)
    moved = StateWarper(state).warp(copied(state), flow)
    for name, array in CompiledWarper(state).warp(copied(state), flow).items():
        np.testing.assert_array_equal(moved[name], array)


@pytest.mark.parametrize("layout", LAYOUT_CHANNELS)
@pytest.mark.parametrize(
    "vector", [(0.25, 0), (-2.75, 5.5), (31.5, -40.25), (-7.75, -7.5), (9999, -9999)]
)
def test_what_moves_as_a_whole_is_as_with_opencv(
    layout: str, vector: tuple[float, float]
) -> None:
    state = random_state(64, 96, layout)
    flow = np.full((8, 12, 2), vector, np.float32)
    expected = OpenCvWarper(state).warp(copied(state), flow)
    for name, array in CompiledWarper(state).warp(copied(state), flow).items():
        np.testing.assert_allclose(array, expected[name], atol=2e-5, err_msg=name)


@pytest.mark.parametrize("vector", [(1.25, -2.5), (-40.75, 30.25)])
def test_a_part_that_moves_is_as_with_opencv(vector: tuple[float, float]) -> None:
    state = random_state(128, 160)
    flow = np.zeros((16, 20, 2), np.float32)
    flow[4:12, 3:11] = vector
    expected = OpenCvWarper(state).warp(copied(state), flow)
    for name, array in CompiledWarper(state).warp(copied(state), flow).items():
        cell = array.shape[1] // 16
        # At the seams each pixel has a vector of its own in OpenCV.
        inner = np.s_[:, 5 * cell : 11 * cell, 4 * cell : 10 * cell]
        np.testing.assert_allclose(
            array[inner], expected[name][inner], atol=2e-5, err_msg=name
        )


def test_a_zoom_is_nearly_as_with_opencv() -> None:
    # OpenCV rounds places to 1/32 of a pixel; in the other one all pixels of a block
    # have the same vector, here up to 0.08 pixels too short or too long.
    state = random_state(64, 96)
    y, x = np.mgrid[:8, :12].astype(np.float32)
    flow = np.stack([0.4 * (x - 5), 0.3 * (y - 3)], -1)
    expected = OpenCvWarper(state).warp(copied(state), flow)
    for name, array in CompiledWarper(state).warp(copied(state), flow).items():
        difference = np.abs(array - expected[name]) / np.abs(expected[name]).max()
        assert difference.max() < 0.03, name
        assert difference.mean() < 0.002, name


@BOTH
def test_what_does_not_move_stays_as_it_is(kind: Kind) -> None:
    state = random_state(64, 96)
    flow = np.zeros((8, 12, 2), np.float32)
    flow[:, 6:] = (3.3, -1.2)
    for name, array in kind(state).warp(copied(state), flow).items():
        still = np.s_[:, :, : 5 * array.shape[2] // 12]
        np.testing.assert_array_equal(array[still], state[name][still], name)
        assert (array != state[name]).any()


@BOTH
def test_state_warps_as_in_training(kind: Kind) -> None:
    state = random_state(64, 96)
    before = packed_state(state)
    y, x = np.mgrid[:8, :12].astype(np.float32)
    flow = np.stack([2.25 - 0.2 * x, 0.2 * y - 1.5], -1)
    moved = kind(state).warp(copied(state), flow)
    trained = warp_state(before, torch.from_numpy(flow).permute(2, 0, 1)[None])
    for a, b in zip(packed_state(moved), trained, strict=True):
        scale = float(b.abs().max())
        np.testing.assert_allclose(a / scale, b / scale, atol=0.02)
        assert float((a - b).abs().mean()) < 0.002 * scale
    assert warp_state(before, None) is before


@BOTH
def test_whole_shifts_move_pixels_unchanged_and_edges_are_never_seen(
    kind: Kind,
) -> None:
    state = random_state(64, 96)
    flow = np.full((8, 12, 2), (8, 16), np.float32)
    moved = kind(state).warp(copied(state), flow)
    for name, array in moved.items():
        part = 64 // array.shape[1]
        right, down = 8 // part, 16 // part
        inner = array[:, :-down, :-right]
        np.testing.assert_allclose(inner, state[name][:, down:, right:], atol=1e-5)
    assert not moved["frames"][:, -4:].any()
    assert not moved["frames"][:, :, -2:].any()
    edge = planes_of(moved["fused"])[0][-16:, :-8]
    np.testing.assert_allclose(edge - edge[:1], 0, atol=1e-5)


def test_vectors_that_are_no_numbers_do_no_harm() -> None:
    state = random_state(64, 96)
    flow = np.full((8, 12, 2), np.nan, np.float32)
    flow[2:4] = np.inf
    CompiledWarper(state).warp(copied(state), flow)


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
