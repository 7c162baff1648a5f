"""Clips to measure with: where they come from and how they are brought to a size."""

import shutil
import subprocess
from pathlib import Path

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.measure.clips import clean_clip_path
from tests.support.command import ROOT, SAMPLES, command, environment


def test_a_checkout_has_the_sample() -> None:
    path, name = clean_clip_path(None)
    assert path == SAMPLES / "cctv.mp4"
    assert path.is_file()
    assert name == "cctv.mp4 (among the training clips)"


def test_a_clip_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no\.mp4 is not there; give one with --cl"):
        clean_clip_path(Path("no.mp4"))


@pytest.mark.parametrize("options", [[], ["--backend", "openvino"]])
def test_an_installed_package_asks_for_a_clip(
    tmp_path: Path, options: list[str]
) -> None:
    packages = tmp_path / "site-packages"
    shutil.copytree(
        ROOT / "streamdenoise",
        packages / "streamdenoise",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    done = subprocess.run(
        command("bench", *options),
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(packages)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "error: no clip is given, and the sample cctv.mp4 comes only with a checkout; "
        "give a clean video with --clip"
    )
