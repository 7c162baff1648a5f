"""The float part in strips equals the one graph, which stays for all that it is not."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import LaneInput
from streamdenoise.inference.backends import openvino, openvino_strips
from streamdenoise.inference.backends.openvino_stream import OpenVinoStream
from streamdenoise.inference.backends.openvino_strips import StripsBackend
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.kernels.code_cache import FOLDER_VARIABLE
from streamdenoise.kernels.float_part import float_part

HALF_A_LEVEL = 0.5 / 255
LEVELS = np.array([0.05, 0.04, 0.03, 0.03, 0.02, 0.03, 0.02], np.float32)

Frame = tuple[np.ndarray, ...]


def requested(
    height: int = 64,
    width: int = 96,
    depth: int = 8,
    model: str = "nano",
    threads: int = 2,
    streams: int = 1,
) -> StepRequest:
    artifact = open_artifact(model)
    return StepRequest("openvino", artifact, height, width, depth, threads, streams)


def clip(request: StepRequest, frames: int, gray: bool = False) -> list[Frame]:
    """A pattern that moves by a few pixels a frame, with noise."""
    rng = np.random.default_rng(0)
    shapes = layout_shapes("yuv420", request.height, request.width)
    found: list[Frame] = []
    for t in range(frames):
        planes = []
        for plane, shape in enumerate(shapes):
            rows, columns = np.indices(shape) * (2 if plane else 1)
            waves = 0.5 + 0.3 * np.sin((rows + t) / 7) * np.cos((columns - 3 * t) / 11)
            noisy = waves + rng.normal(0, LEVELS[0], shape)
            levels = (noisy * request.peak).round().clip(0, request.peak)
            if gray and plane:
                levels[:] = (request.peak + 1) // 2
            planes.append(levels.astype(request.dtype))
        found.append(tuple(planes))
    return found


def sigma_of(request: StepRequest) -> np.ndarray:
    return LEVELS[: request.artifact.levels]


def one_graph(request: StepRequest) -> OpenVinoStream:
    return openvino.OpenVinoBackend(request, openvino.compile_for(request))


@contextmanager
def both(request: StepRequest) -> Iterator[tuple[OpenVinoStream, OpenVinoStream]]:
    with ExitStack() as stack:
        pair = one_graph(request), openvino.load(request)
        for each in pair:
            stack.callback(each.close)
        assert isinstance(pair[1], StripsBackend)
        yield pair


def differences(
    request: StepRequest, one: OpenVinoStream, other: OpenVinoStream, planes: Frame
) -> dict[str, float]:
    """Means of absolute differences after a step: of pixels in [0, 1], and states."""
    results = [each.step(planes, sigma_of(request)) for each in (one, other)]
    pixels = np.concatenate(
        [
            abs(a / request.peak - b / request.peak).ravel()
            for a, b in zip(*results, strict=True)
        ]
    )
    states = zip(one.state(), other.state(), strict=True)
    means = [float(np.abs(a - b).mean()) for a, b in states]
    return dict(
        zip(
            ("pixels", *request.artifact.state_names),
            [pixels.mean(), *means],
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("model", "height", "width", "depth", "gray"),
    [
        ("nano", 64, 96, 8, False),
        ("nano", 72, 104, 10, False),
        ("nano", 8, 16, 8, False),
        ("nano", 64, 96, 8, True),
        ("nano-awgn", 88, 120, 8, False),
        ("nano-awgn", 64, 96, 12, True),
    ],
)
def test_equals_the_one_graph_in_motion(
    model: str, height: int, width: int, depth: int, gray: bool
) -> None:
    """From the same state, all but a few samples are the same."""
    request = requested(height, width, depth, model)
    follower = MotionFollower()
    with both(request) as (one, strips):
        for planes in clip(request, 6, gray):
            flow = follower.flow(planes, request.peak)
            if flow is not None:
                one.warp(flow)
            strips.set_state([each.copy() for each in one.state()])
            found = differences(request, one, strips, planes)
            assert found["pixels"] < 0.1 * HALF_A_LEVEL
            assert found["fused"] < 0.1 * HALF_A_LEVEL
            assert found["frames"] < 1e-3
            assert max(found["hidden"], found["hidden_low"]) < 1e-3


def test_stays_close_to_the_one_graph() -> None:
    """Where a feature falls between two bytes, the last bit of a sum decides, and the
    states drift apart: as far as those of the one graph after a change by 1e-6."""
    request = requested(88, 120, model="nano-awgn")
    follower = MotionFollower()
    with both(request) as pair:
        for planes in clip(request, 8):
            flow = follower.flow(planes, request.peak)
            if flow is not None:
                for backend in pair:
                    backend.warp(flow)
            found = differences(request, *pair, planes)
            assert found["pixels"] < HALF_A_LEVEL
            assert found["fused"] < HALF_A_LEVEL


def test_reset_is_a_fresh_start_and_a_state_can_be_handed_over() -> None:
    request = requested()
    first, second, third = clip(request, 3)
    with both(request) as (one, strips):
        fresh = strips.step(first, sigma_of(request))
        strips.step(second, sigma_of(request))
        strips.reset()
        for a, b in zip(fresh, strips.step(first, sigma_of(request)), strict=True):
            np.testing.assert_array_equal(a, b)
        one.step(first, sigma_of(request))
        one.set_state([each.copy() for each in strips.state()])
        for planes in (second, third):
            assert differences(request, one, strips, planes)["pixels"] < HALF_A_LEVEL


@pytest.mark.parametrize("height", [8, 64])
def test_any_number_of_threads_computes_the_same(height: int) -> None:
    results: list[list[Frame]] = []
    for threads in (1, 2, 3):
        request = requested(height, threads=threads)
        backend = openvino.load(request)
        results.append(
            [backend.step(planes, sigma_of(request)) for planes in clip(request, 2)]
        )
        backend.close()
    for other in results[1:]:
        np.testing.assert_equal(other, results[0])


def test_streams_of_a_batch_are_independent() -> None:
    request = requested(streams=2)
    first, second = clip(request, 2)
    sigma = sigma_of(request)
    batch = openvino.load(request)
    alone = openvino.load(replace(request, streams=1))
    given = {0: LaneInput(first, sigma), 1: LaneInput(second, sigma)}
    batch.step_lanes(given)
    again = batch.step_lanes({1: LaneInput(first, sigma)})[1]
    expected = [alone.step(planes, sigma) for planes in (second, first)][1]
    np.testing.assert_equal(again, expected)
    for backend in (batch, alone):
        backend.close()
        backend.close()


def test_other_models_and_precisions_run_as_one_graph() -> None:
    for request in (
        requested(model="nano-rgb-awgn"),
        replace(requested(), backend="openvino-fp32"),
    ):
        backend = openvino.load(request)
        assert isinstance(backend, openvino.OpenVinoBackend)
        backend.close()


def test_without_compiled_loops_it_is_one_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, "numba", None)
    fresh = {"uint8": float_part("uint8")}
    monkeypatch.setattr(openvino_strips, "FLOAT_PARTS", fresh)
    backend = openvino.load(requested())
    assert isinstance(backend, openvino.OpenVinoBackend)
    backend.close()


def test_a_graph_that_cannot_be_cut_is_run_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FP32 of the same network: nothing in it is rounded to bytes."""
    request = replace(requested(), backend="openvino-fp32")
    monkeypatch.setattr(StripsBackend, "takes", staticmethod(lambda request: True))
    backend = openvino.load(request)
    assert isinstance(backend, openvino.OpenVinoBackend)
    backend.close()
