"""Exported image networks: the same results, in every format."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest
import torch

from streamdenoise.denoisers.image import ImageDenoiser
from streamdenoise.denoisers.load import load_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import bit_depth
from streamdenoise.imaging.added_noise import AddedNoise, NoiseKind
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.jobs.trial import IMAGES, TrialConfig, run_trial
from streamdenoise.serve.web.try_it import models_to_try
from tests.support.clips import Clip
from tests.support.command import run
from tests.support.frames import noise_frame
from tests.support.pictures import picture, saved
from tests.train.classic.material import checkpoint, imread
from train.classic.checkpoint import load_network, save_network
from train.classic.data import stacked
from train.classic.networks.registry import NETWORKS

pytestmark = pytest.mark.long

GRAY = {"cnn4dn", "resnet", "unet"}
"""The networks that are tested in gray, and the others in color: exports take long."""

USED = {"cnn4dn", "dncnn", "resnet", "unet"}
"""The networks that several tests export."""

Exported = Callable[[str], Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Exports a network, once; the manifest, with the checkpoint beside it."""

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        channels = 1 if name in GRAY else 3
        path = checkpoint(folder / "mine.safetensors", name, channels)
        result = run("export", path, "-o", folder)
        assert result.exit_code == 0, result.output
        return Path(result.stdout.strip())

    return made


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in USED))
        for name in NETWORKS
    ],
)
def test_an_exported_model_computes_the_same_as_the_network(
    exported: Exported, name: str
) -> None:
    manifest = exported(name)
    # Sides that are not multiples of anything.
    pix_fmt = "gray" if name in GRAY else "rgb24"
    frame = noise_frame(pix_fmt=pix_fmt, width=61, height=38)
    net, _, _ = load_network(manifest.with_suffix(".safetensors"))
    with torch.inference_mode():
        images = stacked([frame.planes[0].reshape(38, 61, -1)])
        expected = net(images, torch.full((1, 1, 1, 1), 0.1))
    with load_denoiser(
        DenoiseConfig(model=str(manifest), sigma=25.5, threads=1)
    ) as denoiser:
        (clean,) = denoiser.process(frame)
    levels = 255 * expected[0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert np.abs(levels - clean.planes[0].reshape(levels.shape)).max() <= 0.51
    assert_same_in_half_precision(open_artifact(str(manifest)))


def assert_same_in_half_precision(artifact: Artifact) -> None:
    """Also in batches."""
    rng = np.random.default_rng(0)
    shape = (2, *artifact.pixels_shape(64, 96)[1:])
    inputs = {
        "pixels": rng.integers(0, 256, shape).astype(np.float32),
        "peak": np.full((1, 1, 1, 1), 255, np.float32),
        "sigma": np.full((2, shape[-1] // 16), 0.1, np.float32),
        "strength": np.ones((2, 1, 1, 1), np.float32),
    }

    def run_graph(kind: str, images: slice) -> np.ndarray:
        session = onnxruntime.InferenceSession(str(artifact.file(kind)))
        given = {
            put.name: inputs[put.name]
            if put.name == "peak"
            else inputs[put.name][images]
            for put in session.get_inputs()
        }
        (pixels,) = session.run(None, given)
        assert isinstance(pixels, np.ndarray)
        return pixels

    both = run_graph("onnx_fp16", slice(2))
    each = [run_graph("onnx", slice(i, i + 1)) for i in range(2)]
    difference = np.abs(both - np.concatenate(each))
    assert difference.max() <= 1
    assert difference.mean() < 0.2


@pytest.fixture
def mine(exported: Exported, tmp_path: Path) -> Path:
    """A checkpoint of a gray network of the test's own, exported beside it."""
    folder = tmp_path / "models"
    shutil.copytree(exported("cnn4dn").parent, folder)
    return folder / "mine.safetensors"


def test_the_command_denoises_images_with_a_gray_network(
    mine: Path, photos: Path, tmp_path: Path
) -> None:
    more = ("--model", mine, "--sigma", "25", "--overwrite", "--threads", "1")
    result = run("image", photos / "a.png", "-o", tmp_path / "clean.png", *more)
    assert result.exit_code == 0, result.output
    assert "exporting" not in result.stderr
    assert "note: mine works on gray: color was converted to gray" in result.stderr
    assert "note: mine takes no noise level: --sigma is ignored" in result.stderr
    result = run("image", photos / "gray.png", "-o", tmp_path / "clean.png", *more)
    assert result.exit_code == 0, result.output
    assert "converted" not in result.stderr
    gray = imread(photos / "gray.png")[..., 0]
    net, spec, _ = load_network(mine)
    with torch.inference_mode():
        expected = net(stacked([gray[..., None]]), torch.ones(1, 1, 1, 1))
    clean = imread(tmp_path / "clean.png")
    assert (clean == clean[..., :1]).all()
    difference = 255 * expected[0, 0].clamp(0, 1).numpy() - clean[..., 0]
    assert np.abs(difference).max() <= 0.51
    # New weights of the same name are exported again, even if their result is black.
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    save_network(mine, net, spec, {})
    result = run("image", photos / "gray.png", "-o", tmp_path / "clean.png", *more)
    assert result.exit_code == 0, result.output
    assert f"exporting {mine}" in result.stderr
    assert not imread(tmp_path / "clean.png").any()


def test_a_textbook_network_can_be_tried(mine: Path, tmp_path: Path) -> None:
    path, folder = tmp_path / "a.png", tmp_path / "results"
    path.write_bytes(saved(picture(8, 1, 28, 28), "png"))
    folder.mkdir()
    models = models_to_try(mine.parent)
    noise = AddedNoise(0.1, NoiseKind.SALT_PEPPER)
    config = TrialConfig(source=path, folder=folder, noise=noise, model=models["mine"])
    result = run_trial(config)
    assert (result.model, result.width, result.files) == ("mine", 28, IMAGES)
    assert result.scores is not None
    assert result.scores.before.mse > 100
    assert result.scores.after != result.scores.before


def test_the_command_denoises_video_with_a_color_network(
    exported: Exported, odd_clip: Clip, tmp_path: Path
) -> None:
    manifest = exported("dncnn")
    about = json.loads(manifest.read_text())
    assert (about["network"], about["layout"], about["state"]) == ("dncnn", "rgb", {})
    more = ("--sigma", "30", "--threads", "1", "--model", manifest)
    output = tmp_path / "clean.mkv"
    result = run("file", odd_clip.path, "-o", output, "--codec", "ffv1", *more)
    assert result.exit_code == 0, result.output
    assert "converted" not in result.stderr
    with av.open(str(output)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == len(odd_clip.frames)
    assert {frame.shape for frame in frames} == {(47, 65, 3)}
    assert frames[0].std() > 5
    checkpoint = manifest.with_suffix(".safetensors")
    result = run("export", checkpoint, "--calibration", tmp_path)
    assert result.exit_code == 1
    assert "has no INT8 version" in result.stderr


@pytest.mark.parametrize("name", ["resnet", "dncnn"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "gray10le", "rgb24"])
def test_frames_use_the_engine_that_was_prepared(
    exported: Exported, pix_fmt: str, name: str
) -> None:
    sizes: list[tuple[int, int, int]] = []

    class Noted(EngineLoader):
        def load(self, height: int, width: int, depth: int) -> Backend:
            sizes.append((height, width, depth))
            return super().load(height, width, depth)

    artifact = open_artifact(str(exported(name)))
    with ImageDenoiser(artifact, Noted(artifact, threads=1)) as denoiser:
        denoiser.prepare(64, 48, pix_fmt)
        (clean,) = denoiser.process(noise_frame(pix_fmt=pix_fmt))
        assert len(sizes) == 1
        # These networks have no INT8 version, which is no reason for a note.
        assert not any("openvino" in note for note in denoiser.backend_notes)
    assert (clean.pix_fmt, clean.width, clean.height) == (pix_fmt, 64, 48)


@pytest.mark.parametrize(
    ("pix_fmt", "factor"),
    # Independent noise in R, G and B is weaker in luma, by BT.601 for images and for
    # small untagged video.
    [("gray", 1.0), ("rgb24", 0.669), ("yuv420p", 0.669)],
)
def test_a_gray_network_gets_the_noise_level_of_luma(
    exported: Exported, pix_fmt: str, factor: float
) -> None:
    model = str(exported("unet"))
    with load_denoiser(DenoiseConfig(model=model, sigma=40.0, threads=1)) as denoiser:
        denoiser.process(noise_frame(pix_fmt=pix_fmt))
        assert denoiser.sigma == pytest.approx(40 * factor, rel=0.01)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_gray_networks_get_video_in_full_range(
    exported: Exported, pix_fmt: str
) -> None:
    model = str(exported("resnet"))
    image = noise_frame(pix_fmt="gray")
    video = noise_frame(pix_fmt=pix_fmt)
    step = 1 << (bit_depth(pix_fmt) - 8)
    luma = np.round(step * (16 + image.planes[0] * (219 / 255)))
    planes = (luma.astype(video.planes[0].dtype), *video.planes[1:])
    with load_denoiser(DenoiseConfig(model=model, threads=1)) as denoiser:
        (expected,) = denoiser.process(image)
        (clean,) = denoiser.process(video.with_planes(planes))
    difference = clean.planes[0] / step - (16 + expected.planes[0] * (219 / 255))
    assert np.abs(difference).max() <= 4  # rounding to full range and back


def test_an_image_network_runs_live(mine: Path, tmp_path: Path) -> None:
    output = tmp_path / "clean.mkv"
    result = run(
        *("live", "testsrc:64x48@10", "--no-window", "--duration", "1"),
        *("-o", output, "--model", mine, "--sigma", "127.5", "--threads", "1"),
    )
    assert result.exit_code == 0, result.output
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 5


def test_an_export_never_overwrites_other_files(photos: Path, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "mine.safetensors", "cnn4dn", 1)
    command = ("image", photos / "a.png", "-o", tmp_path / "clean.png", "--model", path)
    for name, text in (("mine.json", '{"my": "notes"}'), ("mine.onnx", "a network")):
        (tmp_path / name).write_text(text)
        result = run(*command)
        assert result.exit_code == 1
        assert f"exported over {tmp_path / name}" in result.stderr
        assert "streamdenoise export" in result.stderr
        assert (tmp_path / name).read_text() == text
        (tmp_path / name).unlink()
    (tmp_path / "mine-self-test.npz").mkdir()  # cannot be overwritten
    result = run(*command)
    assert result.exit_code == 1
    assert "cannot be exported to its folder" in result.stderr
    assert f"streamdenoise export {path} -o DIR" in result.stderr
    result = run(*command[:-1], tmp_path / "none.safetensors")
    assert result.exit_code == 1
    assert "there is no such file" in result.stderr
