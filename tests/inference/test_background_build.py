"""Engines that are built in the background while another backend works."""

import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.inference.artifact import WEIGHTS, open_artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.load import build_engine, spec_of
from streamdenoise.inference.step_request import StepRequest
from tests.inference.known_clip import NOISE_STD, known_clip
from tests.inference.other_nano import other_nano
from tests.inference.stored_openvino import store_as_nano


def test_a_better_engine_takes_over_with_the_state(
    store: EngineStore, stored_openvino: None, caplog: pytest.LogCaptureFixture
) -> None:
    frames = known_clip(400, 256, 256)
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
    # A fresh start would be several dB worse.
    assert min(quality[changes[0] :]) > min(quality[: changes[0]]) - 0.5
    assert quality[-1] > 45


def test_closing_stops_a_build_in_the_background(
    store: EngineStore, stored_openvino: None
) -> None:
    loader = EngineLoader(open_artifact("nano"), wait=False, store=store)
    backend = loader.load(1080, 1920, 8)
    assert backend.name == "openvino-fp32"
    assert loader.notes == ("openvino is being built and takes over when ready",)
    process = loader._builder.process  # type: ignore[union-attr]
    loader.close()
    assert process.returncode is not None
    assert loader.better() is None
    assert not list(store.folder.glob(".*.part"))
    backend.close()


def test_closing_ends_a_build_that_waits_for_another_process(
    store: EngineStore, stored_openvino: None
) -> None:
    artifact = open_artifact("nano")
    loader = EngineLoader(artifact, wait=False, store=store)
    store.folder.mkdir()
    spec = spec_of(StepRequest("openvino", artifact, 64, 64))
    with FileLock(store.folder / f"{spec.file_name}.lock"):
        backend = loader.load(64, 64, 8)
        process = loader._builder.process  # type: ignore[union-attr]
        time.sleep(1.0)  # it waits for the lock by now, or will
        assert process.poll() is None
        loader.close()
        assert process.returncode is not None
    backend.close()


def test_a_model_from_a_file_is_built_in_the_background(
    store: EngineStore, stored_openvino: None, tmp_path: Path
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


def test_a_stored_engine_that_fails_is_built_again_in_the_background(
    store: EngineStore, stored_openvino: None, tmp_path: Path
) -> None:
    other = other_nano(tmp_path)
    engine = build_engine(StepRequest("openvino", other, 256, 256), store=store)
    store_as_nano(store, engine)
    loader = EngineLoader(open_artifact("nano"), wait=False, store=store)
    backend = loader.load(256, 256, 8)
    assert backend.name == "openvino-fp32"
    better = wait_for_better(loader)
    assert better.name == "openvino"
    assert len(store.engines()) == 1
    for each in (backend, better):
        each.close()


def test_the_engine_of_a_tile_is_built_in_the_background(
    store: EngineStore, stored_openvino: None
) -> None:
    loader = EngineLoader(open_artifact("nano"), tile=256, wait=False, store=store)
    backend = loader.load(320, 480, 8)
    better = wait_for_better(loader)
    (stored,) = store.engines()
    assert stored.spec is not None
    assert (stored.spec.height, stored.spec.width) == (256, 256)
    assert better.step(known_clip(1, 320, 480)[0], NOISE_STD)[0].shape == (320, 480)
    again = EngineLoader(open_artifact("nano"), tile=256, wait=False, store=store)
    assert again.load(320, 480, 8).name == "openvino"
    for each in (backend, better):
        each.close()
