"""A state that is not finite would spoil every later frame: it is reset."""

from collections.abc import Iterator

import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.frame import Frame
from streamdenoise.inference.backend import Backend
from tests.denoisers.noisy_scene import noisy_frame

BACKENDS = ("openvino", "openvino-fp32", "onnxruntime", "eager")
WARNING = "the state was not finite and is reset"


def engine_of(denoiser: Denoiser) -> Backend:
    return denoiser._step._engine  # type: ignore[attr-defined]


def moving(index: int) -> Frame:
    return noisy_frame("yuv420p", 96, 128, noise_std=0.05, index=index, shift=2 * index)


@pytest.fixture(params=BACKENDS)
def running(request: pytest.FixtureRequest) -> Iterator[Denoiser]:
    """A denoiser that has seen some frames."""
    with Denoiser.load(backend=request.param, sigma=12, threads=1) as denoiser:
        for index in range(3):
            denoiser.process(moving(index))
        yield denoiser


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_lost_state_is_reset_before_a_frame_is_spoiled(
    running: Denoiser, value: float, caplog: pytest.LogCaptureFixture
):
    engine = engine_of(running)
    engine.set_state([np.full_like(array, value) for array in engine.state()])
    frame = moving(3)
    (after,) = running.process(frame)
    assert [record.message for record in caplog.records] == [
        f"{running.backend}: {WARNING}"
    ]
    running.reset()
    (fresh,) = running.process(frame)
    for mine, expected in zip(after.planes, fresh.planes, strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_single_number_that_is_lost_is_found_soon(
    running: Denoiser, caplog: pytest.LogCaptureFixture
):
    engine = engine_of(running)
    state = [array.copy() for array in engine.state()]
    state[0][0, 3, 3, 0] = np.nan
    engine.set_state(state)
    for index in range(3, 20):
        running.process(moving(index))
    assert caplog.text.count(WARNING) == 1
    assert all(np.isfinite(array).all() for array in engine.state())
