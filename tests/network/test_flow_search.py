"""Searching motion in PyTorch, against the compiled way and OpenCV."""

import numpy as np
import pytest
import torch

from streamdenoise.imaging.flow_search import (
    CompiledSearch,
    FlowSearch,
    OpenCvSearch,
    compared,
    why_not_compiled,
)
from streamdenoise.imaging.motion import CELL, FlowEstimator
from streamdenoise.network.flow_search import TorchSearch
from tests.imaging.scenes import scene
from tests.imaging.test_motion import shifted, shown
from tests.support.skips import skip_or_fail_without_cuda

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)]


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    assert why_not_compiled() == ""


def searches_on(device: str) -> TorchSearch:
    if device == "cuda":
        skip_or_fail_without_cuda("cuda")
    return TorchSearch(device)


def moving_pair(
    height: int = 360, width: int = 640, sigma: float = 6
) -> tuple[np.ndarray, np.ndarray]:
    """A noisy frame of a pan with a thing that moves on its own, and the last one."""
    background, thing = 0.3 + 0.4 * scene(height, width), scene(120, 160, seed=9)
    last, now = background.copy(), shifted(background, -2.5, 1)
    last[100:220, 200:360] = thing
    now[93:213, 211:371] = thing
    return shown(now, sigma), shown(last, sigma / 4)


def left_along(flow: np.ndarray, now: np.ndarray, last: np.ndarray) -> float:
    """Root of the mean squared difference that a flow leaves, in levels."""
    return float(compared(now, last, flow)[0].mean()) ** 0.5


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("step", [1, 2, 3])
def test_it_finds_what_the_others_find(device: str, step: int) -> None:
    now, last = moving_pair()
    searches: list[FlowSearch] = [
        searches_on(device),
        CompiledSearch(),
        OpenCvSearch(),
    ]
    flows: list[np.ndarray] = []
    for search in searches:
        flow = FlowEstimator(search).flow(now, last, 255, step)
        assert flow is not None
        assert flow.shape == (360 // CELL, 640 // CELL, 2)
        flows.append(flow)
    found, compiled, opencv = flows
    # Patches ask their neighbors in another order, which matters where motion ends.
    distance = np.abs(found - compiled).max(-1)
    assert (distance < 0.1).mean() > 0.9
    assert (np.abs(found - opencv).max(-1) < 1).mean() > 0.75
    left, left_compiled, left_opencv = (left_along(f, now, last) for f in flows)
    assert left == pytest.approx(left_compiled, rel=0.02)
    assert left < 1.02 * left_opencv


@pytest.mark.parametrize("device", DEVICES)
def test_a_search_does_not_depend_on_earlier_ones(device: str) -> None:
    search = searches_on(device)
    pairs = [moving_pair(), moving_pair(sigma=20), moving_pair(248, 400)]
    first = [FlowEstimator(search).flow(*pair, 255) for pair in pairs]
    for pair, flow in zip(pairs, first, strict=True):
        again = FlowEstimator(search).flow(*pair, 255)
        assert flow is not None
        assert again is not None
        np.testing.assert_array_equal(again, flow)


@pytest.mark.parametrize("device", DEVICES)
def test_noise_does_not_move(device: str) -> None:
    for image in (scene(), np.full((480, 640), 0.5, np.float32)):
        flow = FlowEstimator(searches_on(device)).flow(
            shown(image, 20), shown(image), 255
        )
        assert flow is None or (flow != 0).any(-1).mean() < 0.01


@pytest.mark.parametrize("shape", [(8, 8), (40, 40), (48, 800), (104, 200)])
@pytest.mark.parametrize("step", [None, 2, 9])
def test_any_size_is_searched_or_skipped(
    shape: tuple[int, int], step: int | None
) -> None:
    rng = np.random.default_rng(4)
    height, width = (n * (step or 1) // CELL * CELL for n in shape)
    now, last = rng.integers(0, 256, (2, height, width)).astype(np.uint8)
    flows = [
        FlowEstimator(search).flow(now, last, 255, step)
        for search in (TorchSearch("cpu"), CompiledSearch())
    ]
    for flow in flows:
        assert flow is None or np.isfinite(flow).all()
        assert flow is None or flow.shape == (height // CELL, width // CELL, 2)


def test_it_leaves_the_caller_in_its_mode() -> None:
    TorchSearch("cpu").flow(*moving_pair(), 1, (45, 80))
    assert not torch.is_inference_mode_enabled()
