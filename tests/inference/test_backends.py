"""Conformance suite: every backend, on the shipped models, against eager FP32."""

from pathlib import Path

import numpy as np
import pytest

from streamdenoise.errors import (
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
    EngineMismatchError,
)
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise_profile import white_profile
from streamdenoise.inference.artifact import (
    WEIGHTS,
    Artifact,
    open_artifact,
    shipped_models,
)
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.registry import BACKENDS
from streamdenoise.inference.step_request import StepRequest

HERE = ("openvino", "openvino-fp32", "onnxruntime", "eager")
"""Backends that run on any CPU; those for GPUs are tested on machines that have one."""

SIGMA = np.array([0.05, 0.03, 0.03], np.float32)
PROFILE = white_profile(SIGMA)
H, W = 64, 96


def clip(
    frames: int, depth: int, seed: int = 0, layout: str = "yuv420"
) -> list[tuple[np.ndarray, ...]]:
    """A moving pattern with noise, as planes."""
    rng = np.random.default_rng(seed)
    peak = (1 << depth) - 1
    dtype = np.uint8 if depth == 8 else np.uint16
    rest = (H, W) if layout == "rgb" else (H // 2, W // 2)
    planes_of_frames = []
    for t in range(frames):
        planes = []
        for shape, sigma in zip(((H, W), rest, rest), SIGMA, strict=True):
            rows, columns = np.indices(shape)
            clean = 0.5 + 0.25 * np.sin((rows + 2 * t) / 5) * np.cos(columns / 7)
            noisy = clean + rng.normal(0, sigma, shape)
            planes.append((noisy * peak).round().clip(0, peak).astype(dtype))
        planes_of_frames.append(tuple(planes))
    return planes_of_frames


@pytest.fixture(params=shipped_models())
def artifact(request: pytest.FixtureRequest) -> Artifact:
    return open_artifact(request.param)


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("depth", [8, 10])
def test_equals_eager(artifact: Artifact, name: str, depth: int) -> None:
    told = artifact.told(PROFILE)
    reference = load_backend(StepRequest("eager", artifact, H, W, depth, threads=1))
    backend = load_backend(StepRequest(name, artifact, H, W, depth, threads=1))
    for planes in clip(8, depth, layout=artifact.layout):
        expected = reference.step(planes, told)
        got = backend.step(planes, told)
        for a, b, plane in zip(expected, got, planes, strict=True):
            assert b.dtype == plane.dtype
            assert b.shape == plane.shape
            if name == "openvino":  # INT8
                assert psnr_db(a, b, (1 << depth) - 1) > 38
            else:  # FP32 may round the other way on a tie
                difference = np.abs(a.astype(int) - b)
                assert difference.max() <= 1
                assert difference.mean() < 0.01
    if name != "openvino":
        for a, b in zip(reference.state(), backend.state(), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-3, rtol=1e-3)
    reference.close()
    backend.close()


@pytest.mark.parametrize("name", HERE)
def test_state_round_trips_and_reset_starts_fresh(name: str) -> None:
    artifact = open_artifact(shipped_models()[0])
    told = artifact.told(PROFILE)
    frames = clip(6, 8)
    backend = load_backend(StepRequest(name, artifact, H, W, threads=1))
    first = backend.step(frames[0], told)
    for planes in frames[1:3]:
        backend.step(planes, told)
    saved = [array.copy() for array in backend.state()]
    expected = [backend.step(planes, told) for planes in frames[3:]]
    backend.set_state([array.copy() for array in saved])
    again = [backend.step(planes, told) for planes in frames[3:]]
    for a, b in zip(expected, again, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
    # As `warp` does: the same arrays with new values in every other step.
    zeros = [np.zeros_like(array) for array in saved]
    for planes in frames[1:3]:
        backend.set_state(zeros)
        np.testing.assert_array_equal(backend.state()[0], zeros[0])
        fresh = backend.step(frames[0], told)
        np.testing.assert_array_equal(fresh[0], first[0])
        backend.step(planes, told)
    assert not any(array.any() for array in zeros)
    backend.reset()
    np.testing.assert_array_equal(backend.step(frames[0], told)[0], first[0])
    backend.close()
    backend.close()


@pytest.mark.parametrize("name", HERE)
def test_a_shift_changes_the_picture_in_the_state_alone(name: str) -> None:
    artifact = open_artifact("nano")
    backend = load_backend(StepRequest(name, artifact, H, W, threads=1))
    for planes in clip(2, 8):
        backend.step(planes, np.full(artifact.levels, 0.05, np.float32))
    before = [array.copy() for array in backend.state()]
    backend.shift([0.1, 0.0, -0.2])
    after = backend.state()
    number = artifact.state_names.index("fused")
    expected = np.repeat(np.array([0.1, 0.0, -0.2], np.float32), [16, 4, 4])
    for k, (old, new) in enumerate(zip(before, after, strict=True)):
        change = expected if k == number else 0
        np.testing.assert_allclose(new, old + change, atol=1e-6)


@pytest.mark.parametrize("first", HERE)
@pytest.mark.parametrize("second", HERE[1:])
def test_state_carries_over_to_another_backend(first: str, second: str) -> None:
    artifact = open_artifact(shipped_models()[0])
    told = artifact.told(PROFILE)
    frames = clip(6, 8)
    old = load_backend(StepRequest(first, artifact, H, W, threads=1))
    for planes in frames[:5]:
        old.step(planes, told)
    new = load_backend(StepRequest(second, artifact, H, W, threads=1))
    new.set_state(old.state())
    expected, got = (b.step(frames[5], told)[0].astype(int) for b in (old, new))
    # INT8 differs from the others anyway.
    assert np.abs(expected - got).max() <= (8 if first == "openvino" else 1)


def test_int8_state_does_not_drift(tmp_path: object) -> None:
    artifact = open_artifact("nano-awgn")
    told = artifact.told(PROFILE)
    reference = load_backend(StepRequest("openvino-fp32", artifact, H, W, threads=1))
    backend = load_backend(StepRequest("openvino", artifact, H, W, threads=1))
    rng = np.random.default_rng(1)
    clean = clip(1, 8)[0]
    losses = []
    for t in range(120):
        noisy = tuple(
            (p + rng.normal(0, 255 * s, p.shape)).round().clip(0, 255).astype(np.uint8)
            for p, s in zip(clean, SIGMA, strict=True)
        )
        a, b = (x.step(noisy, told)[0] for x in (reference, backend))
        if t >= 60:
            losses.append(psnr_db(clean[0], a, 255) - psnr_db(clean[0], b, 255))
    assert np.mean(losses[-20:]) - np.mean(losses[:20]) < 0.1


def test_returned_planes_belong_to_the_caller() -> None:
    frames = clip(3, 8)
    artifact = open_artifact("nano")
    told = artifact.told(PROFILE)
    backend = load_backend(StepRequest("openvino", artifact, H, W, threads=1))
    for plane in frames[0]:
        plane.flags.writeable = False  # as decoders lend them
    first = backend.step(frames[0], told)[0]
    kept = first.copy()
    backend.step(frames[1], told)
    backend.step(frames[2], told)
    np.testing.assert_array_equal(first, kept)


def test_named_backend_never_falls_back() -> None:
    whole = open_artifact("nano")
    without = Artifact(whole.folder, whole.manifest | {"files": {}})
    with pytest.raises(BackendUnavailableError, match="nano has none; export it"):
        load_backend(StepRequest("openvino", without, H, W))
    files = dict.fromkeys(whole.manifest["files"], "gone.xml")
    lost = Artifact(whole.folder, whole.manifest | {"files": files})
    with pytest.raises(BackendUnavailableError, match="is missing; export"):
        load_backend(StepRequest("openvino", lost, H, W))
    with pytest.raises(ConfigError, match="no backend is named 'tensor'"):
        load_backend(StepRequest("tensor", whole, H, W))


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(
        sys.modules, "streamdenoise.inference.backends.onnxruntime", False
    )
    with pytest.raises(BackendUnavailableError, match=r"streamdenoise\[onnx\]"):
        load_backend(StepRequest("onnxruntime", open_artifact("nano"), H, W))


def test_unknown_model_and_broken_manifest(tmp_path: object) -> None:
    from pathlib import Path

    with pytest.raises(ConfigError, match="no model is named 'micro'"):
        open_artifact("micro")
    broken = Path(str(tmp_path)) / "broken.json"
    broken.write_text('{"name": "x"')
    with pytest.raises(CheckpointError, match="unreadable"):
        open_artifact(str(broken))


@pytest.mark.parametrize("name", HERE)
def test_a_file_of_another_model_is_rejected(tmp_path: Path, name: str) -> None:
    """The graphs of INT8 models are the same: only the file of weights differs."""
    for file in WEIGHTS.glob("nano*"):
        (tmp_path / file.name.replace("nano-awgn", "other")).write_bytes(
            file.read_bytes()
        )
    needs = BACKENDS[name].needs
    kind = "int8_weights" if needs == "int8" else needs
    mixed = open_artifact(str(tmp_path / "nano.json"))
    file = mixed.manifest["files"][kind]
    (tmp_path / file.replace("nano", "other")).replace(tmp_path / file)
    with pytest.raises(EngineMismatchError, match="export the checkpoint again"):
        load_backend(StepRequest(name, mixed, H, W))


def test_corrupt_engine_file_is_a_clear_error(tmp_path: object) -> None:
    from streamdenoise.errors import BackendError

    whole = open_artifact("nano")
    folder = Path(str(tmp_path))
    for name in set(whole.manifest["files"].values()):
        (folder / name).write_bytes(b"not a model")
    corrupt = Artifact(folder, {**whole.manifest, "sha256": {}})
    for name in HERE:
        with pytest.raises((BackendError, CheckpointError)):
            load_backend(StepRequest(name, corrupt, H, W))
