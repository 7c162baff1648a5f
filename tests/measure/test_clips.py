"""Clips to measure with: where they come from and how they are brought to a size."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.measure.clips import clean_clip_path, find_clips, fit
from tests.measure.waves import textured
from tests.support.command import ROOT, SAMPLES, command, outcome


def test_a_checkout_has_the_sample() -> None:
    path, name = clean_clip_path(None)
    assert path == SAMPLES / "cctv.mp4"
    assert path.is_file()
    assert name == "cctv.mp4 (among the training clips)"


def test_a_clip_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no\.mp4 does not exist; give one with"):
        clean_clip_path(Path("no.mp4"))


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package alone, laid out as a wheel installs it."""
    folder = tmp_path_factory.mktemp("site-packages")
    caches = shutil.ignore_patterns("__pycache__")
    package = folder / "streamdenoise"
    shutil.copytree(ROOT / "streamdenoise", package, ignore=caches)
    shutil.copytree(ROOT / "train", package / "train", ignore=caches)
    return folder


def test_an_installed_package_without_the_sample_asks_for_a_clip(
    site_packages: Path,
) -> None:
    done = outcome(
        command("bench"), cwd=site_packages.parent, PYTHONPATH=str(site_packages)
    )
    assert done.returncode == 1
    missing = site_packages / "streamdenoise" / "samples" / "cctv.mp4"
    assert done.stderr.strip().splitlines()[-1] == (
        f"error: the clean clip {missing} does not exist; give one with --clip"
    )


def test_a_folder_without_clips_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a clip")
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="holds no clips"):
            find_clips(path)


def test_fit_mirrors_small_frames_and_crops_large_ones() -> None:
    frame = textured(0, 96, 64)
    tiled = fit(frame, 256, 160)
    assert tiled.planes[0].shape == (160, 256)
    np.testing.assert_array_equal(tiled.planes[0][:64, :96], frame.planes[0])
    np.testing.assert_array_equal(
        tiled.planes[0][:64, 96:192], frame.planes[0][:, ::-1]
    )
    np.testing.assert_array_equal(tiled.planes[1][32:64, :48], frame.planes[1][::-1])
    cropped = fit(frame, 64, 32)
    np.testing.assert_array_equal(cropped.planes[0], frame.planes[0][16:48, 16:80])
    np.testing.assert_array_equal(cropped.planes[1], frame.planes[1][8:24, 8:40])
