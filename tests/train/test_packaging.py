"""The wheel: what it carries, and where it has the training code."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from streamdenoise.inference.artifact import shipped_models
from tests.support.command import ROOT, command, outcome, python


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the files of the wheel."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(
        directory=str(folder), versions=["standard"]
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_the_wheel_installs_one_module_and_no_records(unpacked: Path) -> None:
    top = {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"}
    assert top == {"streamdenoise"}
    files = {
        path.relative_to(unpacked / "streamdenoise").as_posix()
        for path in (unpacked / "streamdenoise").rglob("*")
        if path.is_file()
    }
    assert {
        "cli/main.py",
        "weights/nano.safetensors",
        "weights/nano-int8.bin",
        "train/__main__.py",
        "train/classic/networks/unet.py",
        "train/recipes/nano_awgn.toml",
        "samples/cctv.mp4",
    } <= files
    left_out = ("train/report", "train/resume", "train/runs", "train/LOG", "tests")
    assert not [file for file in files if file.startswith(left_out)]
    assert not [file for file in files if file.endswith(("README.md", ".pyc"))]
    checkpoints = {file for file in files if file.endswith(".safetensors")}
    assert checkpoints == {f"weights/{name}.safetensors" for name in shipped_models()}


def test_the_wheel_says_whose_its_clip_is(unpacked: Path) -> None:
    (license_,) = unpacked.glob("*.dist-info/licenses/**/LICENSE-cctv.txt")
    assert "Creative Commons Attribution 4.0" in license_.read_text()


def test_the_installed_clip_is_measured_by_default(
    unpacked: Path, tmp_path: Path
) -> None:
    code = (
        "from streamdenoise.measure.clips import clean_clip_path; "
        "print(*clean_clip_path(None), sep='\\n')"
    )
    done = python(code, cwd=tmp_path, PYTHONPATH=str(unpacked))
    path, name = done.stdout.splitlines()
    assert Path(path) == unpacked / "streamdenoise" / "samples" / "cctv.mp4"
    assert name == "cctv.mp4 (among the training clips)"


def run_elsewhere(package: Path, folder: Path, *args: str) -> str:
    """Output of `streamdenoise ARGS` of one package, run in some folder."""
    done = outcome(command(*args), cwd=folder, PYTHONPATH=str(package))
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("is_wheel", "recipe"), [(True, "nano_awgn"), (False, "nano_awgn.toml")]
)
def test_built_in_recipes_are_found_despite_another_module_named_train(
    unpacked: Path, tmp_path: Path, is_wheel: bool, recipe: str
) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit('another train was imported')")
    package = unpacked if is_wheel else ROOT
    output = run_elsewhere(package, tmp_path, "train", recipe)
    # It gets as far as the data, which is missing.
    assert "no usable video or image in data/train/video" in output


def test_unknown_recipes_are_answered_with_the_known_ones(
    unpacked: Path, tmp_path: Path
) -> None:
    output = run_elsewhere(unpacked, tmp_path, "train", "nano_avgn")
    assert "the recipe nano_avgn cannot be used: no such file" in output
    assert "nano_awgn, nano_awgn_map, nano_camera" in output


def test_an_installed_package_records_no_commit_of_a_repository_around_it(
    unpacked: Path,
) -> None:
    git = ["git", "-C", str(unpacked), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
    code = "from streamdenoise.train.run.saving import commit; print(commit())"
    done = python(code, cwd=unpacked, PYTHONPATH=str(unpacked))
    assert done.stdout == "unknown\n", done.stderr
