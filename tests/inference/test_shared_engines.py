"""Streams of one process that share a compiled graph, and nothing else."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backends import openvino, openvino_shared
from streamdenoise.inference.backends.openvino_stream import OpenVinoStream
from streamdenoise.inference.step_request import StepRequest

HEIGHT, WIDTH, FRAMES = 64, 96, 12


def request(backend: str, model: str = "pico", width: int = WIDTH) -> StepRequest:
    return StepRequest(backend, open_artifact(model), HEIGHT, width)


def clean(backend: OpenVinoStream, seed: int) -> list[tuple[np.ndarray, ...]]:
    """What a stream of noise becomes."""
    rng = np.random.default_rng(seed)
    sigma = np.full(7, 0.05, np.float32)
    shapes = [(HEIGHT, WIDTH), *2 * [(HEIGHT // 2, WIDTH // 2)]]
    return [
        backend.step(
            [rng.integers(0, 255, shape).astype(np.uint8) for shape in shapes], sigma
        )
        for _ in range(FRAMES)
    ]


@pytest.mark.parametrize("backend", ["openvino", "openvino-fp32"])
def test_streams_at_once_equal_streams_alone(backend: str) -> None:
    alone = []
    for seed in range(3):
        stream = openvino.load(request(backend))
        alone.append(clean(stream, seed))
        stream.close()
    streams = [openvino.load(request(backend)) for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(clean, streams, range(3)))
    for stream in streams:
        stream.close()
    for one, other in zip(alone, together, strict=True):
        for planes, others in zip(one, other, strict=True):
            for plane, same in zip(planes, others, strict=True):
                np.testing.assert_array_equal(plane, same)


def test_a_graph_is_shared_by_equal_requests_and_freed_with_the_last() -> None:
    made: list[StepRequest] = []

    class Graph:
        pass

    def compile_graph(asked: StepRequest, profile: bool) -> Graph:
        made.append(asked)
        return Graph()

    def graph(asked: StepRequest, profile: bool = False) -> Graph:
        return openvino_shared.shared(compile_graph, asked, profile)

    first = request("openvino")
    one = graph(first)
    assert graph(first) is one
    others = [
        request("openvino", "nano"),
        request("openvino", width=2 * WIDTH),
        replace(first, depth=10),
        replace(first, threads=1),
    ]
    assert one not in [graph(each) for each in others]
    assert graph(first, profile=True) is not one
    del one
    gc.collect()
    assert not openvino_shared._compiling
    count = len(made)
    graph(first)
    assert len(made) == count + 1


def test_a_graph_that_takes_long_only_delays_its_own_streams() -> None:
    began, may_end = Event(), Event()
    made: list[StepRequest] = []

    class Graph:
        pass

    def compile_graph(asked: StepRequest, profile: bool) -> Graph:
        made.append(asked)
        if asked is slow:
            began.set()
            assert may_end.wait(30)
        return Graph()

    def graph(asked: StepRequest) -> Graph:
        return openvino_shared.shared(compile_graph, asked, False)

    slow = request("openvino")
    with ThreadPoolExecutor(3) as threads:
        try:
            first = threads.submit(graph, slow)
            assert began.wait(30)
            second = threads.submit(graph, slow)
            threads.submit(graph, request("openvino", "nano")).result(20)
            assert not first.done()
            assert not second.done()
        finally:
            may_end.set()
        assert second.result(30) is first.result(30)
    assert made.count(slow) == 1
