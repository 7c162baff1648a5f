"""Engines end to end: stored, found, run, rejected and built again."""

import re
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import ConfigError
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backends import openvino
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.load import build_engine, load_backend
from streamdenoise.inference.registry import backend_for
from streamdenoise.inference.self_test import LEAST_PSNR_DB
from streamdenoise.inference.step_request import StepRequest
from tests.inference.known_clip import NOISE_STD, known_clip
from tests.inference.other_nano import other_nano
from tests.inference.stored_openvino import store_as_nano


@pytest.mark.usefixtures("stored_openvino")
@pytest.mark.parametrize("depth", [8, 10])
def test_a_stored_engine_equals_the_model(
    store: EngineStore, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = open_artifact("nano")
    frames = known_clip(4, 64, 96)
    if depth == 10:
        frames = [tuple(p.astype(np.uint16) * 4 for p in f) for f in frames]
    request = StepRequest("openvino", artifact, 64, 96, depth, threads=1)
    # Engines are of the whole graph.
    fresh = openvino.OpenVinoBackend(request, openvino.compile_for(request))
    build_engine(request, store=store)
    stored = load_backend(request, store=store, may_build=False)
    for planes in frames:
        for a, b in zip(
            fresh.step(planes, NOISE_STD), stored.step(planes, NOISE_STD), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    path = store.engines()[0].engine_path
    path.write_bytes(path.read_bytes()[:-9])
    again = load_backend(request, store=store)
    again.step(frames[0], NOISE_STD)
    assert "truncated" in caplog.text


@pytest.mark.usefixtures("stored_openvino")
def test_an_engine_of_other_weights_fails_and_is_replaced(
    store: EngineStore, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Only its results differ."""
    other = other_nano(tmp_path)
    engine = build_engine(StepRequest("openvino", other, 256, 256), store=store)
    store_as_nano(store, engine)
    loader = EngineLoader(open_artifact("nano"), store=store)
    backend = loader.load(256, 256, 8)
    assert backend.name == "openvino"
    found, *_ = [record.message for record in caplog.records]
    assert re.search(r"self-test: .* [0-9.]+ dB against .* int8 should have 42", found)
    assert "it is not used again" in found
    (rebuilt,) = store.engines()
    assert rebuilt.read() != engine


@pytest.mark.usefixtures("stored_openvino")
def test_an_engine_that_its_runtime_cannot_read_is_replaced(
    store: EngineStore, caplog: pytest.LogCaptureFixture
) -> None:
    build_engine(StepRequest("openvino", open_artifact("nano"), 256, 256), store=store)
    store_as_nano(store, b"whole, but no engine")
    backend = load_backend(
        StepRequest("openvino", open_artifact("nano"), 256, 256), store=store
    )
    backend.step(known_clip(1, 256, 256)[0], NOISE_STD)
    assert "openvino cannot load its engine" in caplog.text
    (rebuilt,) = store.engines()
    assert rebuilt.read() != b"whole, but no engine"


def test_an_engine_that_fails_again_is_not_built_at_every_start(
    store: EngineStore, stored_openvino: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sound engine reaches this limit, so even a new one fails."""
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


def test_missing_engines_are_built_first(
    store: EngineStore, stored_openvino: None
) -> None:
    with Denoiser.load("nano") as denoiser:
        denoiser.prepare(256, 256, "yuv420p")
        assert denoiser.backend == "openvino"
    assert len(store.engines()) == 1


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
