"""The noise of a stream: given, estimated, or from a file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.saved_profile import LEVEL_NAMES, SavedProfile
from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.noise import plane_sigmas
from tests.denoisers.noisy_scene import noisy_frame

FULL_BT709 = ColorInfo(matrix=1, range=2)
WHITE = plane_sigmas(1.0, FULL_BT709, 96, 64)
FRAME = replace(noisy_frame("yuv420p", 64, 96), color=FULL_BT709)
SAVED = SavedProfile((3.0, 7.0, 9.0, 8.0, 9.0, 2.0, 4.0), 1280, 720, False)


def test_a_given_level_of_rgb_becomes_that_of_each_plane() -> None:
    noise = NoiseLevel(25)
    frame = noisy_frame("yuv420p", 64, 96)
    profile = noise.update(frame.planes, 255, WHITE)
    luma, u, v = (25 * share / 255 for share in WHITE)
    np.testing.assert_allclose(profile, [luma] * 3 + [u] * 2 + [v] * 2, rtol=1e-6)
    assert noise.levels == (25,) * 7
    assert noise.sigma == pytest.approx(25)
    assert noise.luma_sigma == pytest.approx(255 * luma)


@pytest.mark.parametrize(("pix_fmt", "count"), [("gray", 1), ("rgb24", 3)])
def test_gray_and_rgb_keep_the_given_level(pix_fmt: str, count: int) -> None:
    noise = NoiseLevel(51)
    profile = noise.update(noisy_frame(pix_fmt, 64, 96).planes, 255, (1.0,) * count)
    expected = [0.2] * 7 if count == 3 else [0.2] * 3 + [0.0] * 4
    np.testing.assert_allclose(profile, expected, rtol=1e-6)
    assert profile.dtype == np.float32


def test_the_estimate_is_forgotten_at_a_reset() -> None:
    noise = NoiseLevel()
    for index in range(12):
        sigma = 5 if index < 11 else 40
        planes = noisy_frame(
            "gray", 128, 160, noise_std=sigma / 255, index=index
        ).planes
        noise.update(planes, 255, (1.0,))
    assert noise.sigma < 30  # smoothed
    noise.reset()
    noise.update(planes, 255, (1.0,))
    assert noise.sigma == pytest.approx(40, rel=0.12)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "rgb24", "gray"])
def test_levels_are_in_the_unit_of_a_given_sigma(pix_fmt: str) -> None:
    """White noise in R, G and B is 12 everywhere, whatever the planes."""
    noise = NoiseLevel()
    rng = np.random.default_rng(0)
    for _ in range(6):
        if pix_fmt == "yuv420p":
            shapes = ((256, 320), (128, 160), (128, 160))
            planes = [
                rng.normal(128, 12 * share, shape)
                for shape, share in zip(shapes, WHITE, strict=True)
            ]
        else:
            shape = (256, 320, 3) if pix_fmt == "rgb24" else (256, 320)
            planes = [rng.normal(128, 12, shape)]
        planes = [plane.round().clip(0, 255).astype(np.uint8) for plane in planes]
        white = {"yuv420p": WHITE, "rgb24": (1.0,) * 3, "gray": (1.0,)}[pix_fmt]
        noise.update(planes, 255, white)
    expected = [12] * 3 + [0 if pix_fmt == "gray" else 12] * 4
    np.testing.assert_allclose(noise.levels, expected, rtol=0.15)
    assert noise.sigma == pytest.approx(12, rel=0.05)


def test_all_of_a_region_is_noise_whatever_is_around_it() -> None:
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 255, (128, 160)).astype(np.uint8)
    coarse = rng.normal(128, 8, (40, 40)).repeat(2, 0).repeat(2, 1)
    plane[20:100, 40:120] = coarse.round()
    noise = NoiseLevel(region=(40, 20, 80, 80))
    noise.update([plane], 255, (1.0,))
    fine, middle, coarsest, *color = noise.levels
    assert middle == pytest.approx(16, rel=0.15)
    assert coarsest == pytest.approx(16, rel=0.2)
    assert fine < middle
    assert color == [0] * 4


@pytest.mark.parametrize("region", [(40, 20, 80, 80), (-8, 0, 48, 48), (0, 0, 0, 9)])
def test_a_region_outside_of_the_frame_is_refused(
    region: tuple[int, int, int, int],
) -> None:
    noise = NoiseLevel(region=region)
    shown = ",".join(map(str, region))
    with pytest.raises(ConfigError, match=f"{shown} is not inside .* of 96x64"):
        noise.update(FRAME.planes, 255, WHITE)


def test_a_jpeg_hides_the_same_luma_noise_with_and_without_color() -> None:
    gray = np.full((64, 96), 128, np.uint8)
    half = gray[::2, ::2]
    white = plane_sigmas(1.0, ColorInfo(matrix=6, range=2), 96, 64)
    hidden = (4.0, 3.0, 2.0, 5.0, 4.0, 5.0, 4.0)
    colored = NoiseLevel().update((gray, half, half), 255, white, hidden=hidden)
    alone = NoiseLevel().update((gray,), 255, (1.0,), hidden=hidden)
    assert colored[0] > 0
    assert alone[:3] == pytest.approx(colored[:3], rel=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 5, "profile": SAVED},
        {"sigma": 5, "region": (0, 0, 48, 48)},
        {"profile": SAVED, "region": (0, 0, 48, 48)},
    ],
)
def test_noise_that_is_given_twice_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give only one of sigma, noise_profile and"):
        NoiseLevel(**options)


def test_a_saved_profile_comes_back_and_is_given(tmp_path: Path) -> None:
    (tmp_path / "camera.json").write_text(SAVED.json())
    saved = SavedProfile.read(tmp_path / "camera.json")
    assert saved == SAVED
    noise = NoiseLevel(profile=saved)
    assert noise.levels == SAVED.levels
    profile = noise.update(FRAME.planes, 255, WHITE)
    white = np.repeat(WHITE, (3, 2, 2))
    np.testing.assert_allclose(profile * 255, white * SAVED.levels, rtol=1e-5)
    noise.compare(FRAME)
    assert noise.notes == (
        "the noise profile was measured at 1280x720 in limited range, this is 96x64 in "
        "full range: measure it again if the noise looks different",
    )
    noise = NoiseLevel(profile=SavedProfile(SAVED.levels, 96, 64, True))
    noise.compare(FRAME)
    assert noise.notes == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", "is not a noise profile; measure it again"),
        ("[1, 2]", "is not a noise profile; measure it again"),
        (100_000 * "[", "is not a noise profile; measure it again"),
        ({"version": 2}, "has version 2, this program reads version 1; measure it"),
        ({"levels": {"Y1": 3}}, "is damaged; measure it again"),
        ({"levels": dict.fromkeys(LEVEL_NAMES, -1)}, "is damaged"),
        ({"levels": [3] * 7}, "is damaged"),
        ({"width": "wide"}, "is damaged"),
        ({"width": float("inf")}, "is not a noise profile"),
        ({"full_range": None}, "is damaged"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(
    tmp_path: Path, change: str | dict[str, object], message: str
) -> None:
    text = change
    if isinstance(change, dict):
        text = json.dumps(json.loads(SAVED.json()) | change)
    (tmp_path / "camera.json").write_text(str(text))
    with pytest.raises(ConfigError, match=message):
        SavedProfile.read(tmp_path / "camera.json")


def test_levels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    (tmp_path / "camera.json").write_text(SAVED.json().replace("3.0", "NaN", 1))
    with pytest.raises(ConfigError, match="is not a noise profile"):
        SavedProfile.read(tmp_path / "camera.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        SavedProfile.read(tmp_path / "camera.json")
