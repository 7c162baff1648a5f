"""`compile --size` and `engines list|verify|prune`."""

import json
import os
import signal
import subprocess
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from streamdenoise.cli import engine_tables
from streamdenoise.errors import BackendUnavailableError
from streamdenoise.inference import build
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.inference.engine_store import EngineStore
from tests.support.command import command, environment, run
from tests.support.engines import SPEC
from tests.support.waiting import wait_until


@pytest.mark.usefixtures("stored_openvino")
def test_compile_builds_an_engine_and_reports_its_folder(store: EngineStore) -> None:
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
    entries = json.loads(run("engines", "list", "--json").stdout)
    assert {(each["backend"], each["width"]) for each in entries} == {
        ("openvino", 128),
        ("tensorrt-rtx", 1280),
    }
    assert all(
        Path(each["path"]).stat().st_size == each["size_bytes"] for each in entries
    )
    assert run("engines", "verify").exit_code == 0


@pytest.mark.parametrize("backend", ["openvino", "openvino-fp32"])
def test_openvino_needs_no_engine(store: EngineStore, backend: str) -> None:
    done = run("compile", "nano", "--size", "64x64", "--backend", backend)
    expected = f"{backend} runs nano at any size: no engine is needed\n"
    assert (done.exit_code, done.stderr) == (0, expected)
    assert not store.engines()


@pytest.mark.usefixtures("stored_openvino")
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
def test_the_commands_accept_any_manifest(store: EngineStore, spec: str) -> None:
    store.folder.mkdir()
    (store.folder / "a.engine.json").write_text(
        f'{{"manifest_version": 1, "spec": {spec}}}'
    )
    (store.folder / "b.engine.json").write_text("[]")
    for word, code in (("list", 0), ("verify", 1), ("prune", 0)):
        done = run("engines", word)
        assert done.exit_code == code, done.output
        assert done.stdout.count("\n") >= 2
    assert not store.engines()


def shipped_engine(store: EngineStore, **changes: object) -> Path:
    """Manifest of an engine as if it were of nano for TensorRT-RTX, with changes."""
    artifact = open_artifact("nano")
    built = {
        "weights_sha256": artifact.digest("onnx_fp16"),
        "backend": "tensorrt-rtx",
        "width": 64,
        "height": 64,
        "runtime": "TensorRT-RTX 1.7.1",
        "device": "sm_89",
    }
    spec = replace(SPEC, **(built | changes))
    store.find_or_build(spec, lambda: b"engine")
    return store.folder / f"{spec.file_name}.engine.json"


@pytest.fixture
def runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT-RTX 1.7.1 is installed, and no other runtime."""
    versions = {"tensorrt_rtx": "1.7.1.dev20260801"}

    def installed(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(engine_tables, "version", installed)


OUTDATED = [
    ({"runtime": "TensorRT-RTX 0.9"}, "it was built by TensorRT-RTX 0.9, but"),
    ({"runtime": "TensorRT-RTX 0.9", "model": "mine"}, "it was built by TensorRT-RTX"),
    ({"backend": "vulkan"}, "the backend vulkan no longer exists"),
    ({"backend": "openvino"}, "openvino no longer uses engines"),
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
    ({"weights_sha256": "mine"}, "ok, but its weights differ from those of nano"),
    # Whether it still fits is unknown here.
    ({"runtime": "TensorRT 10.15", "backend": "tensorrt"}, "ok"),
    ({"runtime": "Torch-TensorRT 2.13 10.15", "backend": "torch-tensorrt"}, "ok"),
]


@pytest.mark.parametrize(("change", "remark"), CURRENT)
def test_engines_that_may_still_be_used_are_kept(
    store: EngineStore, runtimes: None, change: dict, remark: str
) -> None:
    manifest = shipped_engine(store, **change)
    done = run("engines", "verify")
    assert (done.exit_code, done.stdout[: len(manifest.name)]) == (0, manifest.name)
    assert f": {remark}" in done.stdout
    assert "nothing to delete" in run("engines", "prune").stdout
    assert f"deleted {manifest.name}" in run("engines", "prune", "--all").stdout
    assert not store.engines()


@pytest.mark.usefixtures("stored_openvino")
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
    portable = {"portable": ("device",), "device": "NVIDIA RTX sm_89"}
    shipped_engine(cache, **portable, runtime="TensorRT 10.15")
    listed = run("engines", "list").stdout
    assert "sm_80 or later" in listed
    for store in (EngineStore(Path("engines")), cache):
        store.prune(lambda stored: True)
    assert run("engines", "list").stdout == f"no engines in engines or {cache.folder}\n"


def test_no_working_backend_is_one_sentence(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, artifact: Artifact) -> None:
        raise BackendUnavailableError(f"no {name}")

    monkeypatch.setattr(build, "check_backend", missing)
    monkeypatch.setattr(build, "usual_backends", lambda: ["openvino", "tensorrt"])
    done = run("compile", "nano", "--size", "64x64")
    assert done.exit_code == 1
    assert "no backend works here: no openvino; no tensorrt\n" in done.stderr


@pytest.mark.usefixtures("stored_openvino")
def test_an_engine_that_cannot_be_kept_is_an_error(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run("compile", "nano", "--size", "64x64")
    assert done.exit_code == 1
    assert "was built but could not be kept in" in done.stderr


RTX_FOR_HOPPER = ("--backend", "tensorrt-rtx", "--compute-capability", "9.0")


BAD = [
    (("micro", "--size", "720p"), "no model is named 'micro'"),
    (("nano",), "give one, such as --size 1080p"),
    (("nano", "--size", "7p"), "'7p' is not a size; write 360p"),
    (("nano", "--size", "99999x2"), "sides must have 16 to"),
    (("nano", "--size", "0x0"), "sides must have 16 to"),
    (("nano", "--size", "720p", "--depth", "12"), "give 8 or 10"),
    (
        ("nano", "--size", "720p", "--backend", "openvino", "--precision", "fp16"),
        "give --precision fp32 or int8",
    ),
    (
        ("nano", "--size", "720p", "--backend", "openvino", "--dynamic"),
        "openvino has no engines: leave out",
    ),
    (
        (*("nano", "--size", "720p"), *RTX_FOR_HOPPER),
        "choose 7.5",
    ),
    (("gone.safetensors", "--size", "720p"), "streamdenoise export gone.safetensors"),
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
    args = command("compile", "nano", "--size", "2160p")
    args += ["--backend", "tensorrt-rtx"]
    for capability in ("8.0", "8.6", "8.9", "12.0", "12.1"):
        args += ["--compute-capability", capability]
    process = subprocess.Popen(
        args,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The build begins.
        wait_until(lambda: any(store.folder.glob("*.lock")), poll_s=0.01)
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
