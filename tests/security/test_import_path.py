"""Modules that somebody has put into the present folder are not imported."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamdenoise.security.import_path import python_child
from tests.support.command import ROOT, outcome

PLANTED = ("av", "cv2", "numpy", "openvino", "platformdirs", "typer", "train")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules that say so when they are imported."""
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')\n")
    return tmp_path


@pytest.mark.parametrize("path", [str(ROOT), f":{ROOT}", f".:{ROOT}", f"{ROOT}:./"])
def test_the_command_line_imports_nothing_from_the_present_folder(
    folder: Path, path: str
):
    words = (sys.executable, "-m", "streamdenoise", "models")
    done = outcome(words, cwd=folder, PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", [str(ROOT), f":{ROOT}", f"{ROOT}:."])
def test_a_child_imports_nothing_from_the_present_folder(
    folder: Path, path: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.chdir(folder)
    code = f"import streamdenoise, {', '.join(PLANTED[:-1])}"
    command, environment = python_child("-c", code)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_folders_of_the_user_stay(folder: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/typer.py").write_text("raise SystemExit('mine')\n")
    words = (sys.executable, "-m", "streamdenoise", "--version")
    path = os.pathsep.join((str(tmp_path / "mine"), str(ROOT)))
    assert outcome(words, cwd=folder, PYTHONPATH=path).stderr == "mine\n"


def test_the_program_runs_from_a_checkout_that_is_not_installed():
    words = (sys.executable, "-m", "streamdenoise", "--version")
    done = outcome(words, cwd=ROOT, PYTHONPATH="")
    assert done.stdout.startswith("streamdenoise ")


def test_every_child_python_is_started_in_one_place():
    files = [*(ROOT / "streamdenoise").rglob("*.py"), *(ROOT / "train").rglob("*.py")]
    using = {
        path.relative_to(ROOT).as_posix()
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "executable"
    }
    assert using == {"streamdenoise/security/import_path.py"}
