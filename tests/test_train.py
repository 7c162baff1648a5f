"""Training: noise moments and independence, samplers, loss, exact resume, export."""

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from streamdenoise.checkpoint import load_checkpoint, save_checkpoint
from streamdenoise.errors import CheckpointError, ConfigError
from streamdenoise.model import ModelSpec, RecurrentDenoiser
from train.data import ClipSampler, cached
from train.loop import Recipe, Stage, psnr_loss, train, validation_clips
from train.noise import Awgn, Camera, plane_sigmas, rgb_to_planes, smear

TINY = ModelSpec(name="tiny", width=8, width_low=8, hidden=4, hidden_low=4, gate=4)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A tiny training set: a lossless moving clip, two stills, one broken file."""
    rng = np.random.default_rng(0)
    (tmp_path / "video").mkdir()
    (tmp_path / "stills").mkdir()
    (tmp_path / "val").mkdir()
    texture = cv2.GaussianBlur(
        rng.integers(0, 255, (64, 160, 3)).astype(np.uint8), (5, 5), 1
    )
    for folder in ("video", "val"):
        fourcc = cv2.VideoWriter.fourcc(*"FFV1")
        writer = cv2.VideoWriter(str(tmp_path / folder / "a.mkv"), fourcc, 25, (64, 64))
        for t in range(12):
            writer.write(texture[:, 4 * t : 4 * t + 64])
        writer.release()
    for name in ("b.png", "c.png"):
        picture = cv2.resize(texture, (200, 120))
        cv2.imwrite(str(tmp_path / "stills" / name), picture)
    (tmp_path / "stills" / "broken.png").write_bytes(b"no image")
    return tmp_path


def recipe(data: Path, run: str, **changes: object) -> Recipe:
    options: dict[str, object] = {
        "spec": TINY,
        "noise": Awgn(),
        "stages": (Stage(4, 2, 2, 32), Stage(4, 3, 2, 32)),
        "data": data,
        "val": data / "val",
        "run": data / "runs" / run,
        "save_every": 4,
        "val_every": 100,
        "warmup": 2,
    }
    return Recipe(**(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("limited", [True, False])
def test_awgn_has_the_told_moments_in_every_plane(limited: bool) -> None:
    clean = torch.full((6, 3, 96, 96), 0.5)
    noise = Awgn(sigma_min=15, sigma_max=15, in_planes=0)
    planes, sigmas = noise(clean, limited, torch.Generator().manual_seed(0))
    for plane, reference, sigma in zip(
        planes, rgb_to_planes(clean, limited), sigmas, strict=True
    ):
        error = plane - reference
        assert float(error.std()) == pytest.approx(float(sigma), rel=0.05)
        assert abs(float(error.mean())) < 0.6 / 255  # grey itself rounds by up to 0.5
    told = plane_sigmas(torch.tensor([15 / 255]), limited)[0]
    torch.testing.assert_close(sigmas, told)


@pytest.mark.parametrize(
    "noise", [Awgn(in_planes=0.5), Camera(clean=0, jpeg=0, h264=0)]
)
def test_noise_is_new_in_every_frame_and_repeats_with_the_seed(
    noise: Awgn | Camera,
) -> None:
    clean = torch.full((4, 3, 64, 64), 0.5)
    for seed in range(4):
        (first, *_), _ = noise(clean, True, torch.Generator().manual_seed(seed))
        (again, *_), _ = noise(clean, True, torch.Generator().manual_seed(seed))
        assert torch.equal(first, again)
        errors = (first - first.mean()).reshape(4, -1)
        correlation = torch.corrcoef(errors) - torch.eye(4)
        assert correlation.abs().max() < 0.2


def test_camera_noise_grows_with_light_and_can_be_absent() -> None:
    ramp = torch.cat([torch.full((4, 3, 64, 32), v) for v in (0.15, 0.7)], 3)
    shot = Camera(clean=0, jpeg=0, h264=0, smeared=0)
    ratios = []
    for seed in range(8):
        (y, _, _), _ = shot(ramp, False, torch.Generator().manual_seed(seed))
        linear = y.clamp(min=1e-4) ** 2.2
        ratios.append(float(linear[..., 34:].std() / linear[..., :30].std()))
    assert np.median(ratios) > 1.2
    planes, sigma = Camera(clean=1, jpeg=0, h264=0, estimated=0)(
        ramp, True, torch.Generator().manual_seed(0)
    )
    for plane, reference in zip(planes, rgb_to_planes(ramp), strict=True):
        assert (plane - reference).abs().max() <= 1.001 / 255
    assert float(sigma.max()) < 1 / 255


def test_h264_takes_a_part_of_the_noise_and_keeps_the_picture() -> None:
    ramp = torch.linspace(0.2, 0.8, 64).expand(6, 3, 64, 64)
    reference = rgb_to_planes(ramp)
    left = []
    for seed in range(5):
        errors = []
        for h264 in (0.0, 1.0):
            noise = Camera(150, clean=0, jpeg=0, h264=h264, smeared=0, estimated=0)
            planes, _ = noise(ramp, True, torch.Generator().manual_seed(seed))
            assert [p.shape for p in planes] == [p.shape for p in reference]
            levels = planes[0] * 255
            torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
            errors.append(planes[0] - reference[0])
        before, after = errors
        assert abs(float(after.mean() - before.mean())) < 2 / 255
        left.append(float(after.std() / before.std()))
    assert 0.1 < np.median(left) < 0.97


def test_smeared_noise_keeps_its_power() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.empty(8, 3, 64, 64).normal_(generator=generator)
    for _ in range(5):
        assert float(smear(white, generator).std()) == pytest.approx(1, rel=0.15)


def test_sampler_is_a_function_of_the_seed(data: Path) -> None:
    sampler = ClipSampler(
        cached(data / "video", data / "cache" / "v", 32),
        cached(data / "stills", data / "cache" / "s", 32),
    )
    kinds = set()
    for seed in range(40):
        clip, static = sampler.draw(4, 32, np.random.default_rng(seed))
        again, _ = sampler.draw(4, 32, np.random.default_rng(seed))
        assert clip.shape == (4, 32, 32, 3)
        assert clip.dtype == np.uint8
        np.testing.assert_array_equal(clip, again)
        still = bool((clip == clip[:1]).all())
        assert not static or still
        kinds.add(static)
    assert kinds == {True, False}


def test_unreadable_files_are_named_and_skipped(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(cached(data / "stills", data / "cache" / "s", 32)) == 2
    assert "broken.png" in caplog.text
    (data / "empty").mkdir()
    with pytest.raises(ConfigError, match="no usable video or image"):
        cached(data / "empty", data / "cache" / "e", 32)
    (data / "empty" / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(ConfigError, match="no readable video"):
        validation_clips(data / "empty")
    assert "not validated on broken.mp4" in caplog.text


def test_cache_knows_a_file_that_changed_from_another(data: Path) -> None:
    def pictures() -> list[float]:
        return [float(x.mean()) for x in cached(data / "stills", data / "cache", 32)]

    for name in ("one", "two"):
        (data / "stills" / name).mkdir()
        grey = np.full((64, 64, 3), 10 * len(name) + ord(name[0]) % 7, np.uint8)
        cv2.imwrite(str(data / "stills" / name / "same.png"), grey)
    before = pictures()
    assert len(set(before)) == 3  # b and c are the same picture
    assert pictures() == before
    cv2.imwrite(str(data / "stills" / "b.png"), np.full((80, 80, 3), 200, np.uint8))
    assert 200 in pictures()


def test_loss_is_log_mse() -> None:
    clean = torch.zeros(1, 2, 24, 4, 4)
    loss = psnr_loss(clean + 0.1, clean, 16, 0.0)
    assert float(loss) == pytest.approx(math.log(0.01), abs=1e-2)


def test_resumed_training_gives_the_same_weights(data: Path) -> None:
    whole = load_checkpoint(train(recipe(data, "whole")))[0].state_dict()
    # A run that was killed after its first save goes on from there.
    halted = recipe(data, "halted")
    with pytest.raises(KeyboardInterrupt):
        _train_until(halted, 6)
    resumed = load_checkpoint(train(halted))[0].state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, atol=0, rtol=0)


def test_a_run_keeps_a_log_whatever_logs_already(data: Path) -> None:
    import train.loop

    toml = data / "recipe.toml"
    toml.write_text(
        f"""
        data = "{data}"
        val = "{data / "val"}"
        run = "{data / "run"}"
        [model]
        name = "tiny"
        width = 16
        width_low = 16
        hidden = 8
        hidden_low = 8
        gate = 8
        [noise]
        kind = "awgn"
        [[stages]]
        steps = 1
        length = 2
        batch = 1
        size = 32
        """
    )
    train.loop.main(str(toml))
    assert "kMAC/px, from step 0 of 1" in (data / "run" / "log.txt").read_text()
    _, provenance = load_checkpoint(data / "run" / "ema.safetensors")
    assert provenance["steps"] == 1
    assert list(provenance["validation_psnr_y"]) == ["mean/10", "mean/30", "mean/50"]
    # Fine-tuning counts on, and says which code made it.
    again = replace(
        Recipe.read(toml), start=data / "run" / "ema.safetensors", run=data / "again"
    )
    _, provenance = load_checkpoint(train.loop.train(again))
    assert provenance["steps"] == 2
    assert provenance["commit"]


def _train_until(halted: Recipe, step: int) -> None:
    """Run `halted`, interrupted when it asks for the batch of `step`."""
    import train.loop

    make = train.loop.make_batch

    def interrupted(*args: object) -> object:
        if args[2] == step:
            raise KeyboardInterrupt
        return make(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.loop, "make_batch", interrupted)
        train.loop.train(halted)


def test_recipes_of_the_repository_are_readable(tmp_path: Path) -> None:
    for path in sorted(Path("train/recipes").glob("*.toml")):
        assert Recipe.read(path).steps > 1000
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[model]\n[noise]\nkind = "pink"\n')
    with pytest.raises(ConfigError, match=r"noise\.kind must be one of awgn, camera"):
        Recipe.read(wrong)
    wrong.write_text("[model]\n")
    with pytest.raises(ConfigError, match="lacks 'noise'"):
        Recipe.read(wrong)
    with pytest.raises(ConfigError, match="cannot be used"):
        Recipe.read(tmp_path / "missing.toml")


def test_checkpoint_keeps_spec_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    net = RecurrentDenoiser(TINY)
    save_checkpoint(path, net, {"steps": 3})
    loaded, provenance = load_checkpoint(path)
    assert loaded.spec == TINY
    assert provenance == {"steps": 3}
    for a, b in zip(net.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_foreign_and_broken_checkpoints_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(CheckpointError, match="cannot read"):
        load_checkpoint(tmp_path / "missing.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x00" * 40)
    with pytest.raises(CheckpointError, match="cannot read"):
        load_checkpoint(broken)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(CheckpointError, match="not a checkpoint of this architecture"):
        load_checkpoint(foreign)


# Tracing the graph takes 15 s on a good day, and the timeout's signal inside of the
# tracer's C++ is a crash of the whole run.
@pytest.mark.timeout(300)
def test_compiled_checkpoint_runs_on_every_backend(data: Path) -> None:
    from streamdenoise.artefact import open_artefact
    from streamdenoise.backends import BACKENDS, load_backend
    from streamdenoise.compile import compile_checkpoint

    path = data / "tiny.safetensors"
    save_checkpoint(path, RecurrentDenoiser(TINY), {"steps": 0, "noise": "awgn"})
    (data / "empty").mkdir()
    with pytest.raises(ConfigError, match="no readable video"):
        compile_checkpoint(path, data / "out", data / "empty")
    (data / "out").mkdir()
    running = data / "out" / f"{TINY.name}-int8.bin"
    running.write_bytes(b"mapped by a running process")
    with running.open("rb") as mapped:
        manifest = compile_checkpoint(path, data / "out", data / "video")
        assert mapped.read() == b"mapped by a running process"
    files = {running.name, *json.loads(manifest.read_text())["files"].values()}
    assert {file.name for file in manifest.parent.iterdir()} == files | {manifest.name}
    artefact = open_artefact(str(manifest))
    grey = [np.full(s, 128, np.uint8) for s in ((32, 48), (16, 24), (16, 24))]
    for name in BACKENDS:
        backend = load_backend(name, artefact, 32, 48, 8, 1)
        planes = backend.step(grey, np.full(3, 0.05, np.float32))
        assert np.abs(planes[0].astype(int) - 128).max() < 30
