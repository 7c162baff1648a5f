"""JSON for programs: the only thing on stdout, and complete."""

import json
import subprocess
from pathlib import Path

import pytest

from streamdenoise.cli.doctor import run_checks
from streamdenoise.console.json_text import json_text
from streamdenoise.inference.artifact import open_artifact, shipped_models
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.inference.engine_store import EngineStore
from tests.support.clips import Clip
from tests.support.command import command, environment, run


def test_file_ends_with_one_line_for_programs(clip: Clip, tmp_path: Path) -> None:
    output = tmp_path / "clean.mp4"
    result = run("file", clip.path, "-o", output, "--add-noise", "20", "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    summary = json.loads(line)
    assert summary["output"] == str(output)
    assert summary["frames_in"] == summary["frames_out"] == 12
    assert summary["stopped"] is False
    assert summary["elapsed_s"] > 0
    assert summary["psnr_out_db"] > summary["psnr_in_db"]
    assert summary["psnr_is_estimate"] is False
    assert any(note.startswith("nano on ") for note in summary["notes"])
    assert result.stderr.startswith(f"{output}: 12 frames, ")


def test_infinite_psnr_is_text(clip: Clip, tmp_path: Path) -> None:
    same = ("--strength", "0", "--reference", clip.path, "--json", "--quiet")
    result = run("file", clip.path, "-o", tmp_path / "a.mkv", *same)
    assert json.loads(result.stdout)["psnr_in_db"] == "inf"
    assert result.stderr == ""
    assert json_text({"a": [float("-inf"), (1.5,)]}, None) == '{"a": ["-inf", [1.5]]}\n'


def test_a_file_that_fails_prints_no_summary(tmp_path: Path) -> None:
    result = run("file", tmp_path / "no.mp4", "-o", tmp_path / "a.mp4", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")


def test_video_and_json_do_not_share_stdout(clip: Clip) -> None:
    done = subprocess.run(
        command("file", clip.path, "-o", "-", "--json"),
        env=environment(), capture_output=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"would both write to stdout; give -o FILE" in done.stderr


def test_doctor_lists_its_checks() -> None:
    checks = json.loads(run("doctor", "--json").stdout)
    assert [check["topic"] for check in checks] == [c.topic for c in run_checks()]
    assert (checks[1]["topic"], checks[1]["ok"]) == ("python", True)


def test_models_are_their_manifests_with_license_and_data() -> None:
    models = json.loads(run("models", "--json").stdout)
    assert [model["name"] for model in models] == shipped_models()
    for model in models:
        manifest = open_artifact(model["name"]).manifest
        assert manifest.items() <= model.items()
        assert model["license"] == "Apache-2.0"
        assert {"name", "license", "use", "clips"} <= set(model["data_sets"][0])


def test_engines_are_listed_with_their_faults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert json.loads(run("engines", "list", "--json").stdout) == []
    (tmp_path / "b.engine.json").write_text("[]")
    (entry,) = json.loads(run("engines", "list", "--json").stdout)
    assert entry["path"] == str(tmp_path / "b.engine.json")
    assert entry["fault"] == EngineStore().engines()[0].fault


def test_eval_prints_what_it_writes(clip: Clip, tmp_path: Path) -> None:
    args = ("--sigma", "25", "--frames", "2", "--no-behavior", "-o", tmp_path)
    result = run("eval", clip.path, *args, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert [score["sigma"] for score in figures["scores"]] == [25, 25, 25]
    assert json.loads((tmp_path / "eval.json").read_text()) == figures
