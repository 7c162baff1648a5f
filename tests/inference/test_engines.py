"""Engines end to end: built, found, run, refused and built again."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from streamdenoise.cli import engine_tables as engines
from streamdenoise.cli import main as cli
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigError,
    EngineBuildError,
    EngineRefusedError,
)
from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.inference import build
from streamdenoise.inference.artifact import WEIGHTS, Artifact, open_artifact
from streamdenoise.inference.backend import Backend, EngineOptions
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.inference.engine_spec import EngineSpec
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.guard import LEAST_PSNR_DB, SIDE, check_engine, known_frame
from streamdenoise.inference.load import build_engine, load_backend, spec_of
from streamdenoise.inference.registry import (
    BACKENDS,
    Engines,
    backend_for,
    usual_backends,
)
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import has_cuda
from train.classic.checkpoint import save_network
from train.classic.export import export_network
from train.classic.networks.registry import NetworkSpec

ROOT = Path(__file__).parents[2]
SIGMA = np.full(3, 0.05, np.float32)
ADA = EngineOptions(compute_capabilities=("8.9",))

no_gpu = pytest.mark.skipif(has_cuda(), reason="tells what is said without a GPU")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "engines"))
    return EngineStore()


def run(*args: object) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def clip(frames: int, height: int, width: int) -> list[tuple[np.ndarray, ...]]:
    shapes = layout_shapes("yuv420", height, width)
    return [known_frame(t, shapes, 255) for t in range(frames)]


RTX = ["tensorrt-rtx", "tensorrt-rtx-int8", "tensorrt-rtx-fp32"]


@pytest.mark.parametrize("name", RTX)
@pytest.mark.parametrize("model", ["nano", "nano-rgb"])
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


def test_tensorrt_rtx_builds_networks_of_pictures(
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


def test_a_graph_that_cannot_be_read_is_told(
    store: EngineStore, tmp_path: Path
) -> None:
    whole = open_artifact("nano")
    (tmp_path / whole.manifest["files"]["onnx_fp16"]).write_bytes(b"no graph")
    broken = Artifact(tmp_path, whole.manifest | {"sha256": {}})
    with pytest.raises(EngineBuildError, match=r"cannot read nano-fp16\.onnx"):
        build_engine(StepRequest("tensorrt-rtx", broken, 64, 96), ADA, store=store)


@no_gpu
def test_without_a_gpu_each_backend_for_one_says_so() -> None:
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


def test_backend_and_precision_name_a_row() -> None:
    assert backend_for("openvino", None) == "openvino"
    assert backend_for("openvino", "int8") == "openvino"
    assert backend_for("openvino", "fp32") == "openvino-fp32"
    assert backend_for("tensorrt", "fp16") == "tensorrt"
    assert backend_for("tensorrt-rtx", "fp32") == "tensorrt-rtx-fp32"
    with pytest.raises(ConfigError, match="give --precision fp32 or int8"):
        backend_for("openvino", "fp16")
    with pytest.raises(ConfigError, match="no backend is named 'tensor'"):
        backend_for("tensor", "fp16")


@pytest.mark.parametrize("name", ["openvino", "openvino-fp32"])
@pytest.mark.parametrize("depth", [8, 10])
def test_a_stored_engine_runs_as_the_model_does(
    store: EngineStore, name: str, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = open_artifact("nano")
    frames = clip(4, 64, 96)
    if depth == 10:
        frames = [tuple(p.astype(np.uint16) * 4 for p in f) for f in frames]
    fresh = load_backend(
        StepRequest(name, artifact, 64, 96, depth, threads=1), store=store
    )
    build_engine(StepRequest(name, artifact, 64, 96, depth), store=store)
    stored = load_backend(
        StepRequest(name, artifact, 64, 96, depth, threads=1), store=store
    )
    for planes in frames:
        for a, b in zip(
            fresh.step(planes, SIGMA), stored.step(planes, SIGMA), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    path = store.engines()[0].engine_path
    path.write_bytes(path.read_bytes()[:-9])
    again = load_backend(
        StepRequest(name, artifact, 64, 96, depth, threads=1), store=store
    )
    again.step(frames[0], SIGMA)
    assert "truncated" in caplog.text


def stored_under_the_name_of_nano(store: EngineStore, engine: bytes) -> None:
    """Let the manifest lie about what is in the file."""
    spec = spec_of(StepRequest("openvino", open_artifact("nano"), 256, 256))
    store.prune(lambda stored: True)
    store.find_or_build(spec, lambda: engine)


def test_an_engine_of_other_weights_is_refused_with_figures_and_replaced(
    store: EngineStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the pictures give it away."""
    other = open_artifact("nano-awgn")
    engine = build_engine(StepRequest("openvino", other, 256, 256), store=store)
    stored_under_the_name_of_nano(store, engine)
    loader = EngineLoader(open_artifact("nano"), store=store)
    backend = loader.load(256, 256, 8)
    assert backend.name == "openvino"
    found = [record.message for record in caplog.records]
    assert len(found) == 1
    assert re.search(r"refused: .* [0-9.]+ dB against .* int8 should have 42", found[0])
    assert "it is not used again" in found[0]
    assert store.engines() == []


def test_an_engine_that_its_runtime_cannot_read_is_replaced(
    store: EngineStore, caplog: pytest.LogCaptureFixture
) -> None:
    build_engine(StepRequest("openvino", open_artifact("nano"), 256, 256), store=store)
    stored_under_the_name_of_nano(store, b"whole, but no engine")
    backend = load_backend(
        StepRequest("openvino", open_artifact("nano"), 256, 256), store=store
    )
    backend.step(clip(1, 256, 256)[0], SIGMA)
    assert "openvino cannot load its engine" in caplog.text
    assert store.engines() == []


def test_what_fails_at_its_first_frame_is_passed_over(tmp_path: Path) -> None:
    whole = open_artifact("nano")
    state = whole.manifest["state"] | {"hidden": [17, 4]}
    artifact = Artifact(whole.folder, whole.manifest | {"state": state})
    with pytest.raises(BackendUnavailableError) as caught:
        EngineLoader(artifact).load(64, 64, 8)
    for name in ("openvino", "onnxruntime", "eager"):
        assert f"{name} does not work: " in str(caught.value)
    with pytest.raises(BackendError, match="onnxruntime does not work"):
        EngineLoader(artifact, backend="onnxruntime").load(64, 64, 8)


def spoilt(tmp_path: Path, value: float) -> Artifact:
    """The model with a weight that makes its pictures useless."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    whole = open_artifact("nano")
    file = WEIGHTS / whole.manifest["files"]["eager"]
    tensors = load_file(file)
    tensors["tail.bias"][0] = value  # of the brightness of blocks
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    save_file(tensors, tmp_path / file.name, metadata)
    return Artifact(tmp_path, whole.manifest | {"sha256": {}})


@pytest.mark.parametrize(
    ("value", "fault"), [(float("nan"), "not finite"), (-1e4, "black")]
)
@pytest.mark.parametrize("size", [64, SIDE])
def test_nan_and_black_are_refused(
    tmp_path: Path, value: float, fault: str, size: int
) -> None:
    artifact = spoilt(tmp_path, value)
    with pytest.raises(EngineRefusedError, match=fault):
        EngineLoader(artifact, backend="eager").load(size, size, 8)


def test_the_guard_sees_the_same_at_every_size() -> None:
    artifact = open_artifact("nano-awgn")
    found = []
    for height, width in ((SIDE, SIDE), (SIDE, 640), (480, 264)):
        request = StepRequest("openvino", artifact, height, width, threads=2)
        engine = load_backend(request)
        found.append(check_engine(engine, request))
        assert not any(array.any() for array in engine.state())
    assert np.ptp(found) < 0.2
    request = StepRequest("openvino", artifact, SIDE, SIDE, 10, threads=2)
    assert check_engine(load_backend(request), request) > 42


@pytest.mark.timeout(180)  # PyTorch is slow beside other tests
@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "eager"])
def test_tiles_give_what_the_whole_picture_gives(name: str) -> None:
    artifact = open_artifact("nano")
    height, width = 456, 640
    flow = np.zeros((height // 8, width // 8, 2), np.float32)
    flow[..., 0], flow[20:, :, 1] = 1.5, -2.25
    whole = EngineLoader(artifact, backend=name, threads=2).load(height, width, 8)
    tiles = EngineLoader(artifact, backend=name, threads=2, tile=256)
    tiled = tiles.load(height, width, 8)
    for planes in clip(6, height, width):
        pairs = zip(whole.step(planes, SIGMA), tiled.step(planes, SIGMA), strict=True)
        for a, b in pairs:
            if name == "openvino":
                np.testing.assert_array_equal(a, b)
            else:  # sums of floats in another order may round the other way
                assert (a != b).mean() < 1e-3
                assert np.abs(a.astype(int) - b).max() <= 1
        whole.warp(flow)
        tiled.warp(flow)
    for a, b in zip(whole.state(), tiled.state(), strict=True):
        # PyTorch and OpenCV round the places of a warp differently.
        np.testing.assert_allclose(a, b, atol=1e-2 if name == "eager" else 2e-3)
    tiled.reset()
    assert not any(array.any() for array in tiled.state())
    for backend in (whole, tiled):
        backend.close()


@pytest.mark.parametrize("tile", [192, 250])
def test_tiles_that_cannot_be_cut_are_refused(tile: int) -> None:
    with pytest.raises(ConfigError, match=f"--tile {tile} cannot be used"):
        Denoiser.load("nano", tile=tile)


@pytest.fixture
def slow_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if INT8 on this CPU needed an engine, as GPUs do: it is built for real."""
    entry = replace(BACKENDS["openvino"], engines=Engines.REQUIRED)
    monkeypatch.setitem(BACKENDS, "openvino", entry)


def test_a_better_engine_takes_over_with_the_state(
    store: EngineStore, slow_openvino: None, caplog: pytest.LogCaptureFixture
) -> None:
    frames = clip(400, 256, 256)
    options = {"sigma": 12.75, "threads": 1}
    with (
        Denoiser.load("nano", wait_for_engine=False, **options) as switching,
        Denoiser.load("nano", backend="openvino", **options) as steady,
    ):
        assert switching.backend == ""
        names, quality = [], []
        deadline = time.monotonic() + 50
        for planes in frames:
            image = np.concatenate([p.reshape(-1) for p in planes]).reshape(384, 256)
            a, b = (d(image, "yuv420p") for d in (switching, steady))
            names.append(switching.backend)
            quality.append(psnr_db(a[:256], b[:256], 255))
            if names[-1] == "openvino" and names[-6:-5] == ["openvino"]:
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
    changes = [i for i in range(1, len(names)) if names[i] != names[i - 1]]
    assert names[0] == "openvino-fp32"
    assert len(changes) == 1
    assert "takes over from openvino-fp32" in caplog.text
    # A fresh start would be several dB worse than a long memory.
    assert min(quality[changes[0] :]) > min(quality[: changes[0]]) - 0.5
    assert quality[-1] > 45


def test_closing_stops_a_build_in_the_background(
    store: EngineStore, slow_openvino: None
) -> None:
    loader = EngineLoader(open_artifact("nano"), wait=False, store=store)
    backend = loader.load(2160, 3840, 8)
    assert backend.name == "openvino-fp32"
    assert loader.notes == ("openvino is being built and takes over when ready",)
    process = loader._builder._process  # type: ignore[union-attr]
    loader.close()
    assert process.returncode is not None
    assert loader.better() is None
    assert not list(store.folder.glob(".*.part"))
    backend.close()


def test_closing_ends_a_build_that_waits_for_another_process(
    store: EngineStore, slow_openvino: None
) -> None:
    artifact = open_artifact("nano")
    loader = EngineLoader(artifact, wait=False, store=store)
    store.folder.mkdir()
    spec = spec_of(StepRequest("openvino", artifact, 64, 64))
    with FileLock(store.folder / f"{spec.file_name}.lock"):
        backend = loader.load(64, 64, 8)
        process = loader._builder._process  # type: ignore[union-attr]
        time.sleep(1.0)  # it waits for the lock by now, or will
        assert process.poll() is None
        loader.close()
        assert process.returncode is not None
    backend.close()


def test_a_model_from_a_file_is_what_is_built_in_the_background(
    store: EngineStore, slow_openvino: None, tmp_path: Path
) -> None:
    for file in WEIGHTS.glob("nano-awgn[.-]*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    mine = (tmp_path / "nano-awgn.json").rename(tmp_path / "mine.json")
    loader = EngineLoader(open_artifact(str(mine)), wait=False, store=store)
    backend = loader.load(64, 64, 8)
    better = wait_for_better(loader)
    assert better.name == "openvino"
    for each in (backend, better, loader):
        each.close()


def wait_for_better(loader: EngineLoader) -> Backend:
    deadline = time.monotonic() + 50
    while (better := loader.better()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return better


def test_a_stored_engine_that_is_no_good_is_built_anew_in_the_background(
    store: EngineStore, slow_openvino: None
) -> None:
    other = open_artifact("nano-awgn")
    engine = build_engine(StepRequest("openvino", other, 256, 256), store=store)
    stored_under_the_name_of_nano(store, engine)
    loader = EngineLoader(open_artifact("nano"), wait=False, store=store)
    backend = loader.load(256, 256, 8)
    assert backend.name == "openvino-fp32"
    better = wait_for_better(loader)
    assert better.name == "openvino"
    assert len(store.engines()) == 1
    for each in (backend, better):
        each.close()


def test_the_engine_of_a_tile_is_what_is_built_in_the_background(
    store: EngineStore, slow_openvino: None
) -> None:
    loader = EngineLoader(open_artifact("nano"), tile=256, wait=False, store=store)
    backend = loader.load(320, 480, 8)
    better = wait_for_better(loader)
    (stored,) = store.engines()
    assert stored.spec is not None
    assert (stored.spec.height, stored.spec.width) == (256, 256)
    assert better.step(clip(1, 320, 480)[0], SIGMA)[0].shape == (320, 480)
    again = EngineLoader(open_artifact("nano"), tile=256, wait=False, store=store)
    assert again.load(320, 480, 8).name == "openvino"
    for each in (backend, better):
        each.close()


def test_an_engine_that_is_refused_again_is_not_built_at_every_start(
    store: EngineStore, slow_openvino: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sound engine reaches this limit, so even a new one is refused."""
    monkeypatch.setitem(LEAST_PSNR_DB, "int8", 90.0)
    artifact, built = open_artifact("nano"), []

    def note(phase: str, step: int, steps: int) -> bool:
        built.append(phase)
        return True

    for _ in range(2):
        loader = EngineLoader(artifact, store=store, on_build=note)
        backend = loader.load(256, 256, 8)
        assert backend.name == "openvino-fp32"
        assert "dB against the model's own" in loader.notes[0]
        backend.close()
        stamps = [s.path.stat().st_mtime_ns for s in store.engines()]
        built.append(str(stamps))
    assert built[0] == built[1]
    assert any(path.suffix == ".refused" for path in store.prune())


def test_an_engine_that_cannot_be_kept_is_an_error(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run("compile", "nano", "--size", "64x64")
    assert done.exit_code == 1
    assert "was built but could not be kept in" in done.stderr


def test_waiting_builds_first(store: EngineStore, slow_openvino: None) -> None:
    with Denoiser.load("nano") as denoiser:
        denoiser.prepare(256, 256, "yuv420p")
        assert denoiser.backend == "openvino"
    assert len(store.engines()) == 1


def test_compile_makes_an_engine_and_says_where(store: EngineStore) -> None:
    done = run("compile", "nano", "--size", "128x96", "--backend", "openvino")
    assert done.exit_code == 0, done.output
    assert "openvino engine of nano for 128x96" in done.stderr
    assert str(store.folder) in done.stderr
    options = ("--backend", "tensorrt-rtx", "--compute-capability", "8.6")
    done = run("compile", "nano-awgn", "--size", "720p", *options, "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    listed = run("engines", "list").stdout
    assert "nano-awgn  1280x720" in listed
    assert "sm_86" in listed
    assert run("engines", "verify").exit_code == 0


def test_engines_are_verified_and_pruned(store: EngineStore) -> None:
    assert "no engines in" in run("engines", "list").stdout
    for size in ("128x96", "96x128"):
        run("compile", "nano", "--size", size)
    path = store.engines()[0].engine_path
    path.write_bytes(b"")
    done = run("engines", "verify")
    assert done.exit_code == 1
    assert "truncated: 0 of" in done.stdout
    assert "96x128" not in run("engines", "prune").stdout.replace(path.name, "")
    assert len(store.engines()) == 1
    store.engines()[0].path.write_text(
        store.engines()[0].path.read_text().replace('weights_sha256": "', '_": "old')
    )
    assert run("engines", "verify").exit_code == 1
    run("compile", "nano", "--size", "64x64")
    assert "deleted" in run("engines", "prune", "--all").stdout
    assert not list(store.folder.glob("*.engine*"))


@pytest.mark.parametrize("spec", ["[]", '{"width": "64"}', "7"])
def test_the_commands_survive_any_manifest(store: EngineStore, spec: str) -> None:
    store.folder.mkdir()
    (store.folder / "a.engine.json").write_text(
        f'{{"manifest_version": 1, "spec": {spec}}}'
    )
    (store.folder / "b.engine.json").write_text("[]")
    for command, code in (("list", 0), ("verify", 1), ("prune", 0)):
        done = run("engines", command)
        assert done.exit_code == code, done.output
        assert done.stdout.count("\n") >= 2
    assert not store.engines()


def shipped_engine(store: EngineStore, **changes: object) -> Path:
    """Manifest of an engine as if it were of nano for OpenVINO, with changes."""
    artifact = open_artifact("nano")
    spec = EngineSpec(
        model="nano",
        weights_sha256=artifact.digest("int8"),
        backend="openvino",
        precision="int8",
        width=64,
        height=64,
        depth=8,
        runtime="OpenVINO 2026.4.1",
        device="any",
    )
    spec = replace(spec, **changes)
    store.find_or_build(spec, lambda: b"engine")
    return store.folder / f"{spec.file_name}.engine.json"


@pytest.fixture
def runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """That are installed."""
    versions = {"openvino": "2026.4.1.dev20260801", "tensorrt_rtx": "1.7.1"}

    def installed(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(engines, "version", installed)


OUTDATED = [
    ({"runtime": "OpenVINO 2025.0.0"}, "it was built by OpenVINO 2025.0.0, this is"),
    ({"runtime": "OpenVINO 2025.0.0", "model": "mine"}, "it was built by OpenVINO"),
    ({"runtime": "TensorRT-RTX 0.9"}, "it was built by TensorRT-RTX 0.9, this is"),
    ({"backend": "vulkan"}, "there is no backend vulkan any more"),
]


@pytest.mark.parametrize(("change", "reason"), OUTDATED)
def test_engines_of_other_versions_are_outdated(
    store: EngineStore, runtimes: None, change: dict, reason: str
) -> None:
    kept, outdated = shipped_engine(store), shipped_engine(store, height=72, **change)
    done = run("engines", "verify")
    assert done.exit_code == 1
    assert f"{outdated.name}: {reason}" in done.stdout
    assert f"{kept.name}: ok\n" in done.stdout
    assert f"deleted {outdated.name}" in run("engines", "prune").stdout
    assert [stored.path for stored in store.engines()] == [kept]


CURRENT = [
    ({}, "ok\n"),
    ({"model": "mine", "weights_sha256": "mine"}, "ok\n"),
    ({"weights_sha256": "mine"}, "ok, of other weights than those that nano has here"),
    # Nothing here tells whether it still fits.
    ({"runtime": "TensorRT 10.15", "backend": "tensorrt"}, "ok"),
    ({"runtime": "Torch-TensorRT 2.13 10.15", "backend": "torch-tensorrt"}, "ok"),
    ({"runtime": "OpenVINO 2026.0.0", "portable": ("runtime",)}, "ok\n"),
]


@pytest.mark.parametrize(("change", "remark"), CURRENT)
def test_engines_that_may_be_wanted_are_kept(
    store: EngineStore, runtimes: None, change: dict, remark: str
) -> None:
    manifest = shipped_engine(store, **change)
    done = run("engines", "verify")
    assert (done.exit_code, done.stdout[: len(manifest.name)]) == (0, manifest.name)
    assert f": {remark}" in done.stdout
    assert "nothing to delete" in run("engines", "prune").stdout
    assert f"deleted {manifest.name}" in run("engines", "prune", "--all").stdout
    assert not store.engines()


def test_every_folder_of_the_store_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = EngineStore()
    shipped_engine(cache)
    Path("engines").mkdir()
    assert run("engines", "list").stdout.startswith(f"{cache.folder}:\n")
    options = ("--size", "128x96", "--backend", "openvino")
    assert "in engines (" in run("compile", "nano", *options).stderr
    listed = run("engines", "list").stdout
    assert listed.startswith("engines:\n")
    assert f"\n{cache.folder}:\n" in listed
    portable = {"portable": ("runtime", "device"), "device": "NVIDIA RTX sm_89"}
    shipped_engine(cache, **portable, runtime="TensorRT 10.15")
    listed = run("engines", "list").stdout
    assert "TensorRT 10.15 or later" in listed
    assert "sm_80 or later" in listed
    for store in (EngineStore(Path("engines")), cache):
        store.prune(lambda stored: True)
    assert run("engines", "list").stdout == f"no engines in engines or {cache.folder}\n"


def test_no_backend_with_engines_is_one_sentence(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, artifact: Artifact) -> None:
        raise BackendUnavailableError(f"no {name}")

    monkeypatch.setattr(build, "check_backend", missing)
    monkeypatch.setattr(build, "usual_backends", lambda: ["openvino", "tensorrt"])
    done = run("compile", "nano", "--size", "64x64")
    assert done.exit_code == 1
    assert "no backend builds engines here: no openvino; no tensorrt\n" in done.stderr


RTX_FOR_HOPPER = ("--backend", "tensorrt-rtx", "--compute-capability", "9.0")
BAD = [
    (("pico", "--size", "720p"), "no model is named 'pico'"),
    (("nano",), "give --size, such as --size 1080p"),
    (("nano", "--size", "7p"), "'7p' is not a size; write 360p"),
    (("nano", "--size", "99999x2"), "sides are 16 to"),
    (("nano", "--size", "0x0"), "sides are 16 to"),
    (("nano", "--size", "720p", "--depth", "12"), "give 8 or 10"),
    (("nano", "--size", "720p", "--backend", "cuda"), "needs no engines"),
    (
        ("nano", "--size", "720p", "--backend", "openvino", "--precision", "fp16"),
        "give --precision fp32 or int8",
    ),
    (
        ("nano", "--size", "720p", "--backend", "openvino", "--dynamic"),
        "leave out --compute-capability",
    ),
    (
        (*("nano", "--size", "720p"), *RTX_FOR_HOPPER),
        "choose 7.5",
    ),
    (("gone.safetensors", "--size", "720p"), "cannot read checkpoint gone.safetensors"),
]


@pytest.mark.parametrize(("args", "reason"), BAD)
def test_bad_input_is_one_sentence(
    store: EngineStore, args: tuple[str, ...], reason: str
) -> None:
    done = run("compile", *args)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
    assert not list(store.folder.glob("*.engine*"))


def test_a_signal_stops_a_build_and_keeps_nothing(store: EngineStore) -> None:
    args = [sys.executable, "-m", "streamdenoise", "compile", "nano", "--size", "2160p"]
    args += ["--backend", "tensorrt-rtx"]
    for capability in ("8.0", "8.6", "8.9", "12.0", "12.1"):
        args += ["--compute-capability", capability]
    process = subprocess.Popen(
        args,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 50
        while not list(store.folder.glob("*.lock")):  # the build begins
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=50)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    left = [p.suffix for p in store.folder.iterdir() if p.suffix != ".lock"]
    # It may just have been ready.
    assert left in ([], [".engine", ".json"], [".json", ".engine"])
