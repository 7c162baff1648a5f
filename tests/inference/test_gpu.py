"""Engines on an NVIDIA GPU against the CPU.

Run them with `pytest -m needs_cuda tests/inference/test_gpu.py`.

Needs PyTorch with CUDA and nothing else that plays or shows video. Backends that do not
work here are skipped with their reason, or fail where ``STREAMDENOISE_REQUIRE``, a list
with commas, has their word: ``cuda`` for PyTorch's own, ``tensorrt``, ``tensorrt-rtx``
and ``torch-tensorrt`` for all precisions of each, ``onnxruntime-cuda``.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import BackendUnavailableError
from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.inference.artifact import Artifact, open_artifact, shipped_models
from streamdenoise.inference.backend import Backend, LaneInput
from streamdenoise.inference.backends.torch_device import (
    TorchDeviceBackend,
    buffer_bytes,
)
from streamdenoise.inference.load import check_backend, load_backend
from streamdenoise.inference.registry import BACKENDS
from streamdenoise.inference.self_test import known_frame, self_test
from streamdenoise.inference.step_request import StepRequest
from tests.support.skips import skip_or_fail, skip_or_fail_without_cuda

H, W = 256, 320
SIGMA = np.full(3, 0.05, np.float32)
ALIKE_DB = {"fp32": 55, "fp16": 45, "int8": 38}
ON_GPU = [name for name, entry in BACKENDS.items() if entry.needs_cuda]


def required_as(name: str) -> str:
    """Name of a backend in ``STREAMDENOISE_REQUIRE``."""
    options = BACKENDS[name].options
    return "cuda" if "device" in options else options.get("flavor", name)


def loaded(name: str, model: str, **options: int) -> Backend:
    artifact = open_artifact(model)
    skip_or_fail_without_cuda(required_as(name))
    try:
        check_backend(name, artifact)
    except BackendUnavailableError as exc:
        skip_or_fail(required_as(name), str(exc))
    return load_backend(StepRequest(name, artifact, H, W, **options))


def frames(model: str, count: int, peak: int = 255) -> list[tuple[np.ndarray, ...]]:
    shapes = layout_shapes(open_artifact(model).layout, H, W)
    return [known_frame(t, shapes, peak) for t in range(count)]


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", ON_GPU)
@pytest.mark.parametrize("model", shipped_models())
@pytest.mark.parametrize("depth", [8, 10])
def test_equals_the_cpu(name: str, model: str, depth: int) -> None:
    engine = loaded(name, model, depth=depth)
    artifact = open_artifact(model)
    precision = BACKENDS[name].precision
    self_test(engine, StepRequest(name, artifact, H, W, depth))
    reference = load_backend(StepRequest("eager", artifact, H, W, depth))
    peak = (1 << depth) - 1
    flow = np.full((H // 8, W // 8, 2), 1.25, np.float32)
    for planes in frames(model, 30, peak):
        expected, got = (e.step(planes, SIGMA) for e in (reference, engine))
        for a, b in zip(expected, got, strict=True):
            assert psnr_db(a / peak, b / peak, 1) > ALIKE_DB[precision]
        for each in (reference, engine):
            each.warp(flow)
    engine.close()


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", ON_GPU)
def test_reset_starts_fresh_and_state_round_trips(name: str) -> None:
    engine = loaded(name, "nano")
    clip = frames("nano", 4)
    first = engine.step(clip[0], SIGMA)[0]
    engine.step(clip[1], SIGMA)
    saved = [array.copy() for array in engine.state()]
    expected = engine.step(clip[2], SIGMA)[0]
    engine.reset()
    np.testing.assert_array_equal(engine.step(clip[0], SIGMA)[0], first)
    engine.set_state(saved)
    np.testing.assert_array_equal(engine.step(clip[2], SIGMA)[0], expected)
    engine.close()
    engine.close()


@pytest.mark.needs_cuda
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ON_GPU)
def test_memory_stays_over_2000_frames(name: str) -> None:
    engine = loaded(name, "nano")
    import torch

    clip = frames("nano", 8)
    free = []
    for t in range(2000):
        engine.step(clip[t % 8], SIGMA)
        if t % 500 == 499:
            free.append(torch.cuda.mem_get_info()[0])
    assert min(free[1:]) >= free[0] - (1 << 20)
    engine.close()


@pytest.mark.needs_cuda
@pytest.mark.parametrize(
    "name", [name for name in ON_GPU if BACKENDS[name].takes_batches]
)
def test_a_batch_equals_each_stream_alone(name: str) -> None:
    batch = loaded(name, "nano", streams=3)
    assert isinstance(batch, TorchDeviceBackend)
    alone = loaded(name, "nano")
    clip = frames("nano", 9)
    for t in range(3):
        inputs = {i: LaneInput(clip[3 * i + t], SIGMA) for i in range(3)}
        got = batch.step_lanes(inputs)
        expected = alone.step(clip[3 + t], SIGMA)
        assert psnr_db(expected[0], got[1][0], 255) > 50
    batch.close()


@pytest.mark.needs_cuda
@pytest.mark.usefixtures("cuda")
def test_auto_takes_the_gpu() -> None:
    with Denoiser.load("nano", sigma=12.75) as denoiser:
        denoiser.prepare(W, H, "yuv420p")
        assert BACKENDS[denoiser.backend].needs_cuda


@pytest.mark.parametrize("cause", ["no torch", "no GPU", "no library"])
@pytest.mark.parametrize(
    ("required", "fails", "skipped"),
    [
        ("nvenc,cuda", "cuda-fp32", "tensorrt-int8"),
        ("tensorrt,nvenc", "tensorrt-int8", "tensorrt-rtx"),
        ("tensorrt-rtx", "tensorrt-rtx-fp32", "cuda"),
    ],
)
def test_required_backends_fail_instead_of_being_skipped(
    monkeypatch: pytest.MonkeyPatch,
    cause: str,
    required: str,
    fails: str,
    skipped: str,
) -> None:
    monkeypatch.setenv("STREAMDENOISE_REQUIRE", required)
    cuda = SimpleNamespace(is_available=lambda: cause == "no library")
    torch = None if cause == "no torch" else SimpleNamespace(cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)

    def refuse(name: str, artifact: Artifact) -> None:
        raise BackendUnavailableError(f"{name} cannot be used")

    monkeypatch.setattr(sys.modules[__name__], "check_backend", refuse)
    with pytest.raises(pytest.fail.Exception):
        loaded(fails, "nano")
    with pytest.raises(pytest.skip.Exception):
        loaded(skipped, "nano")


@pytest.mark.parametrize("depth", [8, 10])
def test_the_logged_budget_is_the_size_of_the_buffers(depth: int) -> None:
    backend = load_backend(
        StepRequest("eager", open_artifact("nano"), H, W, depth, threads=1, streams=2)
    )
    assert isinstance(backend, TorchDeviceBackend)
    held = [*backend._sets[0], *backend._sets[1], *backend._planes]
    held += [backend._pixels, backend._clean]
    shapes = [tuple(tensor.shape) for tensor in backend._sets[0]]
    dtypes = [tensor.dtype for tensor in backend._sets[0]]
    expected = sum(tensor.nbytes for tensor in held)
    assert buffer_bytes(backend.request, shapes, dtypes) == expected
