"""The command that measures a camera's noise, and the file that it writes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdenoise.denoisers.saved_profile import SavedProfile
from streamdenoise.frame import Frame
from tests.measure.waves import BT709, TICK, write
from tests.support.command import run

WALL = "0,0,96,160"
GRAIN = 8.0
"""Std in 8-bit levels of noise that is alike in 2x2 pixels; twice that at scale 2."""
LUMA_OF_WHITE = 0.645
"""Std of luma of white noise of 1 in R, G and B, in BT.709 and limited range."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texture that changes all the time beside a gray wall, under coarse noise."""
    rng = np.random.default_rng(0)
    gray = np.full((80, 96), 128, np.uint8)
    frames = []
    for index in range(16):
        scene = rng.integers(60, 200, (160, 192)).astype(float)
        scene[:, :96] = 120
        scene += rng.normal(0, GRAIN, (80, 96)).repeat(2, 0).repeat(2, 1)
        planes = (scene.round().clip(0, 255).astype(np.uint8), gray, gray)
        frames.append(Frame(planes, "yuv420p", BT709, index, TICK, index, 0.0))
    path = tmp_path_factory.mktemp("camera") / "night.mkv"
    write(path, frames)
    return path


def test_a_profile_of_a_region_is_told_to_the_denoiser(
    recording: Path, tmp_path: Path
) -> None:
    camera, plot = tmp_path / "camera.json", tmp_path / "camera.png"
    region = ("--profile-region", WALL)
    result = run("profile", recording, *region, "-o", camera, "-o", plot)
    assert result.exit_code == 0, result.output
    words, _, header, luma, *color = result.stdout.splitlines()
    assert words.startswith("noise: fine ")
    assert "coarse 2" in words
    assert "11 frames of 192x160" in words
    assert header.split() == ["grain", "1", "px", "2", "px", "4", "px"]
    assert luma.startswith("brightness")
    assert not color
    image = cv2.imread(str(plot))
    assert image is not None
    assert image.std() > 5
    saved = SavedProfile.read(camera)
    assert (saved.width, saved.height, saved.is_full_range) == (192, 160, False)
    assert saved.levels[1] == pytest.approx(2 * GRAIN / LUMA_OF_WHITE, rel=0.1)
    given = run("file", recording, "-o", tmp_path / "a.mkv", "--noise-profile", camera)
    same = run("file", recording, "-o", tmp_path / "b.mkv", *region)
    for result in (given, same):
        assert result.exit_code == 0, result.output
        assert words.partition(" (")[0] in result.stderr
        assert "was measured at" not in result.stderr


def test_a_profile_of_another_size_is_used_and_noted(
    recording: Path, tmp_path: Path
) -> None:
    camera = tmp_path / "camera.json"
    camera.write_text(SavedProfile((3.0,) * 7, 1280, 720, False).json())
    result = run("file", recording, "-o", "null:", "--noise-profile", camera)
    assert result.exit_code == 0, result.output
    assert "noise 3" in result.stderr
    assert "was measured at 1280x720, this is 192x160" in result.stderr


def test_live_and_images_take_a_profile(tmp_path: Path) -> None:
    camera, image = tmp_path / "camera.json", tmp_path / "noisy.png"
    camera.write_text(SavedProfile((3.0,) * 7, 192, 160, True).json())
    noisy = np.random.default_rng(0).normal(128, 3, (160, 192, 3)).round()
    assert cv2.imwrite(str(image), noisy.astype(np.uint8))
    live = ("live", "testsrc:192x160@25", "--no-window", "--duration", "0.2")
    for words in ((*live, "-o", "null:"), ("image", image, "-o", tmp_path / "a.png")):
        result = run(*words, "--noise-profile", camera)
        assert result.exit_code == 0, result.output
        assert "noise 3" in result.stderr


def test_images_have_a_profile_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        noisy = rng.normal(128, 12, (160, 192, 3)).round().clip(0, 255)
        assert cv2.imwrite(str(tmp_path / name), noisy.astype(np.uint8))
    result = run("profile", tmp_path, "-o", tmp_path / "camera.json")
    assert result.exit_code == 0, result.output
    assert "2 frames of 192x160" in result.stdout
    levels = json.loads((tmp_path / "camera.json").read_text())["levels"]
    assert levels["Y1"] == pytest.approx(12, rel=0.15)
    assert levels["U1"] == pytest.approx(12, rel=0.25)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("profile", "CLIP", "-o", "a.txt"), "-o a.txt is neither a profile nor"),
        (("profile", "CLIP", "--frames", "0"), "--frames 0 leaves nothing"),
        (("profile", "CLIP", "--profile-region", "0,0,9,99"), "0,0,9,99 is too small"),
        (("profile", "CLIP", "--profile-region", "1,2,3"), "'1,2,3' is not an area"),
        (
            ("profile", "CLIP", "--profile-region", "160,0,40,40"),
            "160,0,40,40 is not inside of the frame of 192x160",
        ),
        (
            ("file", "CLIP", "-o", "null:", "--profile-region", "0,140,40,40"),
            "0,140,40,40 is not inside of the frame of 192x160",
        ),
        (
            ("file", "CLIP", "-o", "null:", "--noise-profile", "no.json"),
            "the noise profile no.json cannot be read",
        ),
        (
            ("file", "CLIP", "-o", "null:", "--noise-profile", "CLIP"),
            "is not a noise profile",
        ),
        (
            ("file", "CLIP", "-o", "null:", "--sigma", "5", "--noise-profile", "a"),
            "--sigma and --noise-profile each say what the noise is",
        ),
        (("profile", "CLIP", "-o", "missing/a.json"), "missing/a.json cannot be"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(
    recording: Path, args: tuple[str, ...], message: str
) -> None:
    result = run(*(recording if arg == "CLIP" else arg for arg in args))
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
