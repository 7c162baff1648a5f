"""Models that take a noise profile: calibration, export, and every backend."""

from pathlib import Path

import numpy as np
import pytest
import torch

from streamdenoise.export.calibration_noise import (
    HIGHEST,
    LOWEST,
    UnevenNoise,
    WhiteNoise,
)
from streamdenoise.export.export import (
    calibration_inputs,
    export_onnx,
    manifest_of,
    self_test_reference,
    write_artifact,
)
from streamdenoise.imaging.noise_profile import white_profile
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.network.checkpoint import save_checkpoint
from streamdenoise.network.model import DeployedGraph, ModelSpec, RecurrentDenoiser
from tests.denoisers.noisy_scene import noisy_frame

SMALL = {"width": 8, "width_low": 8, "hidden": 4, "hidden_low": 4, "gate": 4}


def network(layout: str = "yuv420") -> RecurrentDenoiser:
    torch.manual_seed(0)
    spec = ModelSpec("tiny", layout, **SMALL, noise_map=4, profile=True)
    return RecurrentDenoiser(spec).eval()


@pytest.fixture
def exported(tmp_path: Path) -> Artifact:
    """In FP32 only, which saves a minute."""
    net = network()

    def write_files(folder: Path) -> dict[str, Path]:
        files = {
            "eager": folder / "tiny.safetensors",
            "onnx": folder / "tiny.onnx",
            "self_test": folder / "tiny.npz",
        }
        save_checkpoint(files["eager"], net, {})
        export_onnx(net, files["onnx"])
        reference = self_test_reference(DeployedGraph(net), net.spec.levels)
        np.savez_compressed(files["self_test"], *reference)
        return files

    return open_artifact(
        str(write_artifact(tmp_path, manifest_of(net.spec, {}), write_files))
    )


@pytest.mark.parametrize("layout", ["yuv420", "rgb"])
def test_calibration_tells_the_noise_that_was_added(layout: str, data: Path) -> None:
    given = list(calibration_inputs(network(layout), data / "video", 2, 4))
    levels = np.concatenate([each["sigma"] for each in given]) * 255
    assert levels.shape == (2 * (4 + 2), 7)
    fine_and_coarse = levels[:, 0] / levels[:, 2]
    np.testing.assert_allclose(fine_and_coarse[:8], 1)  # white
    assert np.all(np.abs(np.log(fine_and_coarse[8:])) > 0.2)
    assert levels.min() >= LOWEST * 0.29  # chroma of 4:2:0 is averaged
    assert levels.max() <= HIGHEST * 1.01


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "rgb24"])
def test_uneven_noise_has_the_levels_that_it_claims(pix_fmt: str) -> None:
    rng = np.random.default_rng(0)
    frame = noisy_frame(pix_fmt, 128, 160)
    _, white = WhiteNoise(12).added(frame, rng)
    uneven = UnevenNoise((3, 6, 12, 12, 3, 5, 5))
    planes, profile = uneven.added(frame, rng)
    assert white.shape == profile.shape == (7,)
    assert profile[0] < profile[1] < profile[2]
    assert profile[3] > 1.2 * profile[4]
    np.testing.assert_allclose(profile[5:], 5, rtol=0.15)
    if pix_fmt == "yuv420p":
        added = planes[2].astype(float) - frame.planes[2]
        assert added.std() == pytest.approx(5, rel=0.1)


def test_every_backend_takes_the_levels_of_the_manifest(exported: Artifact) -> None:
    assert exported.levels == 7
    assert exported.manifest["levels"] == 7
    profile = np.array([2, 9, 20, 4, 8, 1, 30], np.float32) / 255
    assert exported.told(profile) is profile
    frame = noisy_frame("yuv420p", 264, 320, noise_std=0.05)
    found = {}
    for name, tile in (
        *(("eager", None), ("onnxruntime", None)),
        ("eager", 256),
    ):
        # The loader runs the self-test.
        loader = EngineLoader(exported, backend=name, threads=1, tile=tile)
        engine = loader.load(264, 320, 8)
        found[name, tile] = engine.step(frame.planes, profile)[0].astype(int)
        engine.reset()
        assert (engine.step(frame.planes, profile * 3)[0] != found[name, tile]).any()
        engine.close()
    for key, luma in found.items():
        assert np.abs(luma - found["eager", None]).mean() < 1, key


def test_one_level_a_plane_is_the_finest_or_the_largest_of_the_scales() -> None:
    profile = np.array([1, 3, 9, 4, 2, 5, 6], np.float32)
    plain = {"layout": "yuv420"}
    assert Artifact(Path(), plain).told(profile).tolist() == [1, 4, 5]
    two = plain | {"sigma_scales": [1, 2]}
    assert Artifact(Path(), two).told(profile).tolist() == [3, 4, 6]
    assert Artifact(Path(), {"layout": "gray"}).told(profile).tolist() == [1]


def test_white_noise_has_one_level_at_all_scales() -> None:
    assert white_profile((3, 2, 1)).tolist() == [3, 3, 3, 2, 2, 1, 1]
    assert white_profile((3,)).tolist() == [3, 3, 3, 0, 0, 0, 0]
