"""TensorRT engines: built without a GPU, stored, rejected and built again."""

from dataclasses import replace
from pathlib import Path

import pytest

from streamdenoise.errors import BackendUnavailableError, ConfigError, EngineBuildError
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import EngineOptions
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.load import build_engine, load_backend
from streamdenoise.inference.registry import BACKENDS, usual_backends
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import has_cuda
from streamdenoise.measure.speed.gpu_kernels import gpu_kernels
from train.classic.checkpoint import save_network
from train.classic.export import export_network
from train.classic.networks.registry import NetworkSpec

ADA = EngineOptions(compute_capabilities=("8.9",))


no_gpu = pytest.mark.skipif(has_cuda(), reason="checks the messages without a GPU")


RTX = ["tensorrt-rtx", "tensorrt-rtx-int8", "tensorrt-rtx-fp32"]


@pytest.mark.parametrize("name", RTX)
@pytest.mark.parametrize("model", ["nano", "nano-rgb-awgn"])
def test_tensorrt_rtx_builds_every_model(
    store: EngineStore, model: str, name: str
) -> None:
    artifact = open_artifact(model)
    engine = build_engine(StepRequest(name, artifact, 64, 96), ADA, store=store)
    (stored,) = store.engines()
    assert stored.read() == engine
    assert stored.spec is not None
    assert stored.spec.runtime.startswith("TensorRT-RTX ")
    assert (stored.spec.device, stored.spec.precision) == (
        "sm_89",
        BACKENDS[name].precision,
    )


def test_tensorrt_rtx_builds_networks_of_images(
    store: EngineStore, tmp_path: Path
) -> None:
    spec = NetworkSpec("unet", 3, 8)
    path = tmp_path / "mine.safetensors"
    save_network(path, spec.build(), spec, {})
    artifact = open_artifact(str(export_network(path, tmp_path)))
    for name in ("tensorrt-rtx", "tensorrt-rtx-fp32"):
        build_engine(StepRequest(name, artifact, 64, 96), ADA, store=store)
    assert {stored.spec.backend for stored in store.engines() if stored.spec} == {
        "tensorrt-rtx",
        "tensorrt-rtx-fp32",
    }


def test_tensorrt_rtx_builds_for_every_gpu_it_lists(store: EngineStore) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    listed = [int(n[2:]) for n in trt.ComputeCapability.__members__ if n[:2] == "SM"]
    # Turing has no matrix products in FP32 there, which the transforms are.
    numbers = [number for number in listed if number != 75]
    assert len(numbers) >= 4
    every = EngineOptions(tuple(f"{n // 10}.{n % 10}" for n in sorted(numbers)))
    artifact = open_artifact("nano")
    build_engine(StepRequest("tensorrt-rtx", artifact, 64, 96), every, store=store)
    for capability in every.compute_capabilities:
        one = EngineOptions((capability,))
        build_engine(StepRequest("tensorrt-rtx", artifact, 96, 64), one, store=store)
    assert len(store.engines()) == len(numbers) + 1
    turing = EngineOptions(("7.5",))
    with pytest.raises(EngineBuildError, match="Turing"):
        build_engine(StepRequest("tensorrt-rtx", artifact, 96, 64), turing, store=store)


def test_tensorrt_rtx_engines_are_reloaded_rejected_and_rebuilt(
    store: EngineStore, caplog: pytest.LogCaptureFixture
) -> None:
    artifact, name = open_artifact("nano"), "tensorrt-rtx"

    def build(**changes: object) -> str:
        build_engine(
            StepRequest(name, artifact, 64, 96), replace(ADA, **changes), store=store
        )
        return store.engines()[0].built_at + str(store.engines()[0].path.stat().st_ino)

    first = build()
    assert build() == first  # from the store
    path = store.engines()[0].engine_path
    path.write_bytes(path.read_bytes()[:1000])
    second = build()
    assert second != first
    assert "truncated: 1000 of" in caplog.text
    manifest = store.engines()[0].path
    manifest.write_text(
        manifest.read_text().replace("TensorRT-RTX 1", "TensorRT-RTX 0")
    )
    third = build()
    assert third != second
    assert "was built by TensorRT-RTX 0" in caplog.text
    assert build() == third


def test_tensorrt_rtx_options(store: EngineStore, tmp_path: Path) -> None:
    other = tmp_path / "other"
    artifact, name = open_artifact("nano"), "tensorrt-rtx"
    two = EngineOptions(compute_capabilities=("8.6", "12.0"))
    build_engine(StepRequest(name, artifact, 64, 96), two, store=store)
    wide = replace(ADA, dynamic=True)
    build_engine(StepRequest(name, artifact, 720, 1280), wide, store=store)
    devices = {s.spec.device: s.spec.portable for s in store.engines() if s.spec}
    assert devices == {"sm_86+sm_120": (), "sm_89": ("size",)}
    several = build_engine(
        StepRequest(name, artifact, 64, 96, streams=4), ADA, store=store
    )
    single = build_engine(
        StepRequest(name, artifact, 64, 96), ADA, store=EngineStore(other)
    )
    assert several != single
    # The engine for many sizes serves smaller ones, of one stream.
    build_engine(StepRequest(name, artifact, 360, 640), ADA, store=store)
    assert len(store.engines()) == 3
    with pytest.raises(ConfigError, match=r"choose 7\.5, 8\.0, 8\.6"):
        build_engine(
            StepRequest(name, artifact, 64, 96), EngineOptions(("9.0",)), store=store
        )


def test_a_build_reports_steps_and_can_be_stopped(store: EngineStore) -> None:
    artifact, name = open_artifact("nano"), "tensorrt-rtx"
    steps: list[tuple[str, int, int]] = []

    def stop(phase: str, step: int, count: int) -> bool:
        steps.append((phase, step, count))
        return False

    with pytest.raises(EngineBuildError, match="stopped"):
        build_engine(
            StepRequest(name, artifact, 64, 96), ADA, store=store, on_build=stop
        )
    assert steps
    assert all(0 <= step < count for _, step, count in steps)
    assert store.engines() == []


@no_gpu
def test_without_a_gpu_each_gpu_backend_says_so() -> None:
    artifact = open_artifact("nano")
    with pytest.raises(BackendUnavailableError, match=r"--compute-capability 8\.6"):
        load_backend(StepRequest("tensorrt-rtx", artifact, 64, 96))
    with pytest.raises(BackendUnavailableError, match="PyTorch with CUDA"):
        load_backend(StepRequest("cuda", artifact, 64, 96))
    with pytest.raises(BackendUnavailableError, match=r"streamdenoise\[tensorrt\]"):
        load_backend(StepRequest("tensorrt", artifact, 64, 96))
    for name in ("cuda", "directml", "coreml"):
        with pytest.raises(BackendUnavailableError, match="ExecutionProvider"):
            load_backend(StepRequest(f"onnxruntime-{name}", artifact, 64, 96))
    assert not any(BACKENDS[name].needs_cuda for name in usual_backends())


def test_a_graph_that_cannot_be_read_is_an_error(
    store: EngineStore, tmp_path: Path
) -> None:
    whole = open_artifact("nano")
    (tmp_path / whole.manifest["files"]["onnx_fp16"]).write_bytes(b"no graph")
    broken = Artifact(tmp_path, whole.manifest | {"sha256": {}})
    with pytest.raises(EngineBuildError, match=r"cannot read nano-fp16\.onnx"):
        build_engine(StepRequest("tensorrt-rtx", broken, 64, 96), ADA, store=store)


@pytest.mark.parametrize(
    ("backend", "kernels", "megabytes"),
    [("tensorrt-rtx", 39, 392), ("tensorrt-rtx-int8", 48, 555)],
)
def test_engines_of_nano_have_not_grown(
    backend: str, kernels: int, megabytes: int
) -> None:
    request = StepRequest(backend, open_artifact("nano"), 720, 1280)
    found = gpu_kernels(request)
    assert sum(kernel.kind == "correlation" for kernel in found) > 10  # convolutions
    assert len(found) <= kernels
    assert sum(kernel.bytes for kernel in found) / 1e6 < megabytes + 1
