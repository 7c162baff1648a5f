"""Networks of single images: every frame is denoised independently."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.denoisers.image import ImageDenoiser
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.saved_profile import SavedProfile
from streamdenoise.frame import Frame
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.backend import Backend
from tests.denoisers.noisy_scene import noisy_frame


class Recorder:
    """An engine that notes the noise levels it is given, and inverts its input."""

    name = "recorder"

    def __init__(self) -> None:
        self.sigmas: list[float] = []

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        self.sigmas.append(255 * float(sigma[0]))
        return tuple(np.iinfo(plane.dtype).max - plane for plane in planes)

    def flow_search(self) -> None: ...

    def warp(self, flow: np.ndarray) -> None:
        raise AssertionError("an image has no past to warp")

    def shift(self, changes: Sequence[float]) -> None:
        raise AssertionError("an image has no past to shift")

    def reset(self) -> None: ...

    def state(self) -> tuple[np.ndarray, ...]:
        return ()

    def is_finite(self, rows: slice) -> bool:
        return True

    def set_state(self, state: Sequence[np.ndarray]) -> None: ...

    def close(self) -> None: ...


class RecorderLoader:
    """Supplies a `Recorder` for frames of any size."""

    notes = ()

    def __init__(self) -> None:
        self.engine = Recorder()

    def load(self, height: int, width: int, depth: int) -> Backend:
        return self.engine

    def better(self) -> None: ...

    def close(self) -> None: ...


def image_model(layout: str) -> Artifact:
    files: dict[str, str] = {}
    manifest = {"name": "mine", "layout": layout, "multiple": 8, "files": files}
    return Artifact(Path(), {**manifest, "state": {}})


@pytest.mark.parametrize("layout", ["gray", "rgb"])
@pytest.mark.parametrize("pix_fmt", ["gray", "rgb24"])
def test_each_image_has_a_noise_level_of_its_own(layout: str, pix_fmt: str) -> None:
    loader = RecorderLoader()
    given = (5, 30, 5, 15)
    with ImageDenoiser(image_model(layout), loader) as denoiser:
        for index, sigma in enumerate(given):
            frame = noisy_frame(pix_fmt, 256, 320, noise_std=sigma / 255, index=index)
            denoiser.process(frame)
            assert denoiser.sigma == pytest.approx(loader.engine.sigmas[-1])
    share = 0.669 if (layout, pix_fmt) == ("gray", "rgb24") else 1.0
    expected = [share * sigma for sigma in given]
    assert loader.engine.sigmas == pytest.approx(expected, rel=0.12)


def test_the_level_of_a_video_is_steady_without_a_memory() -> None:
    loader = RecorderLoader()
    with ImageDenoiser(image_model("rgb"), loader) as denoiser:
        for index in range(12):
            denoiser.process(
                noisy_frame("yuv420p", 288, 352, noise_std=0.06, index=index)
            )
    sigmas = np.array(loader.engine.sigmas)
    assert sigmas.std() < 0.06 * sigmas.mean()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray10le", "rgb24"])
def test_a_clean_frame_passes_a_network_of_rgb_unchanged(pix_fmt: str) -> None:
    loader = RecorderLoader()
    frame = noisy_frame(pix_fmt, 48, 64, noise_std=0.1)
    with ImageDenoiser(image_model("rgb"), loader, noise=NoiseLevel(0.1)) as denoiser:
        (same,) = denoiser.process(frame)
        assert same is frame
        assert not loader.engine.sigmas


def test_a_network_of_gray_returns_gray_even_if_the_video_is_clean() -> None:
    """Color that depended on the noise would flicker."""
    frame = noisy_frame("yuv420p", 48, 64)
    colored = frame.planes[1] // 2
    frame = frame.with_planes((frame.planes[0], colored, colored))
    with ImageDenoiser(
        image_model("gray"), RecorderLoader(), noise=NoiseLevel(0.1)
    ) as denoiser:
        (gray,) = denoiser.process(frame)
        assert "mine works on gray" in denoiser.backend_notes[0]
    assert all((chroma == 128).all() for chroma in gray.planes[1:])
    assert np.abs(gray.planes[0].astype(int) - frame.planes[0]).max() <= 1


@pytest.mark.parametrize("layout", ["gray", "rgb"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "rgb24"])
def test_a_profile_of_the_same_video_is_used_without_a_note(
    layout: str, pix_fmt: str
) -> None:
    frame = noisy_frame(pix_fmt, 48, 64, noise_std=0.05)
    saved = SavedProfile.of((9.0,) * 7, frame)
    noise = NoiseLevel(profile=saved)
    denoiser = ImageDenoiser(image_model(layout), RecorderLoader(), noise=noise)
    denoiser.process(frame)
    assert not any("profile" in note for note in denoiser.backend_notes)
    denoiser.process(noisy_frame(pix_fmt, 64, 64, noise_std=0.05))
    assert any("profile" in note for note in denoiser.backend_notes)


def test_video_with_more_bits_is_noted() -> None:
    with ImageDenoiser(
        image_model("rgb"), RecorderLoader(), noise=NoiseLevel(20)
    ) as denoiser:
        denoiser.process(noisy_frame("yuv420p10le", 48, 64, noise_std=0.1))
        assert denoiser.backend_notes == ("mine sees video as RGB of 8 bits",)


def test_an_array_is_an_image_too() -> None:
    frame: Frame = noisy_frame("rgb24", 48, 64, noise_std=0.1)
    (rgb,) = frame.planes
    with ImageDenoiser(
        image_model("rgb"), RecorderLoader(), noise=NoiseLevel(20)
    ) as denoiser:
        np.testing.assert_array_equal(denoiser(rgb[..., ::-1]), 255 - rgb[..., ::-1])
