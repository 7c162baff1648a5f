"""Training: recipes, loss, truncation, branches, exact resume, errors, export."""

import io
import json
import logging
import math
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from streamdenoise.errors import CheckpointError, ConfigError, DivergedError, SinkError
from streamdenoise.network.checkpoint import load_checkpoint, save_checkpoint
from streamdenoise.network.model import ModelSpec, RecurrentDenoiser, kmac_per_pixel
from streamdenoise.network.packing import packed_noise_std
from tests.support.recipes import training_toml
from train import trainer as trainer_module
from train.clips import batch as batch_module
from train.clips.batch import Batch, batches
from train.clips.cache import cached
from train.clips.sampler import ClipSampler
from train.degradation.noise import Awgn, Camera, NoiseRecipe
from train.layers.quantize import round_inputs, round_weight, round_while_learning
from train.layers.reparam import add_branches, merged
from train.loop import main, train
from train.loss import border_loss, charbonnier_loss, psnr_loss
from train.recipe import Recipe, Stage
from train.run.ranks import Ranks
from train.trainer import Trainer
from train.unroll import UnrolledLoss, backward, teach, unroll

pytestmark = pytest.mark.long

TINY = ModelSpec(name="tiny", width=8, width_low=8, hidden=4, hidden_low=4, gate=4)


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


def test_border_loss_finds_the_grid_of_blocks_in_errors() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.zeros(1, 2, 16, 16, 24)
    white = 0.05 * torch.randn(clean.shape, generator=generator)
    assert float(border_loss(white, clean)) < 0.1
    mosaic = clean.clone()
    mosaic[..., 0] = white[..., 0]  # the means of blocks
    assert float(border_loss(mosaic, clean)) > 3
    assert float(border_loss(clean, clean)) == 0


def test_loss_is_log_mse() -> None:
    clean = torch.zeros(1, 2, 24, 4, 4)
    loss = psnr_loss(clean + 0.1, clean, 16, 0.0)
    assert float(loss) == pytest.approx(math.log(0.01), abs=1e-2)


def test_charbonnier_is_linear_for_large_errors_and_quadratic_for_small_ones() -> None:
    clean = torch.zeros(1, 2, 4, 4, 24)
    assert float(charbonnier_loss(clean + 0.1, clean, 16, 0.5)) == pytest.approx(
        1.5 * 0.1, rel=1e-3
    )
    small = float(charbonnier_loss(clean + 1e-4, clean, 16, 0.0))
    assert small - 1e-3 == pytest.approx(1e-4**2 / 2 / 1e-3, rel=1e-2)


@pytest.fixture
def clips(data: Path) -> Batch:
    """Two clips of six frames."""
    stages = (Stage(1, 6, 2, 32),)
    return next(
        batches(
            recipe(data, "clips", stages=stages),
            ClipSampler.read(data, data / "cache", 32),
            0,
        )
    )


def tiny_net() -> RecurrentDenoiser:
    torch.manual_seed(0)
    return RecurrentDenoiser(TINY)


def gradients(data: Path, clips: Batch, truncate: int) -> tuple[float, torch.Tensor]:
    """The loss and all gradients, flattened."""
    net = tiny_net()
    plain = recipe(data, "gradients", bf16=False)
    loss = backward(UnrolledLoss(net, plain), clips, truncate)
    grads = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
    return float(loss), torch.cat(grads)


def test_truncated_gradients(data: Path, clips: Batch) -> None:
    loss, whole = gradients(data, clips, 0)
    for truncate in (6, 100):
        same, grads = gradients(data, clips, truncate)
        assert same == loss
        assert torch.equal(grads, whole)
    # The last of the chunks is shorter; the loss is of the same frames.
    same, grads = gradients(data, clips, 4)
    assert same == pytest.approx(loss, rel=1e-5)
    assert not torch.allclose(grads, whole, rtol=1e-3)


def test_truncation_frees_the_memory_of_earlier_chunks(
    data: Path, clips: Batch
) -> None:
    peaks = {}
    for truncate in (0, 2):
        live, peak = 0, 0

        class Held:
            """Counts what waits for its backward pass."""

            def __init__(self, tensor: torch.Tensor) -> None:
                nonlocal live, peak
                self.tensor = tensor
                live += 1
                peak = max(peak, live)

            def __del__(self) -> None:
                nonlocal live
                live -= 1

        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            gradients(data, clips, truncate)
        assert live == 0
        peaks[truncate] = peak
    assert peaks[2] < 0.4 * peaks[0]


def randomized_branches() -> RecurrentDenoiser:
    net = tiny_net()
    add_branches(net)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith((".point", ".scale")):
                parameter.normal_(std=0.1)
    return net


def test_branches_start_as_the_same_function_and_merge_into_one(
    clips: Batch, tmp_path: Path
) -> None:
    plain = tiny_net()
    net = tiny_net()
    add_branches(net)
    count = sum(p.numel() for p in plain.parameters())
    assert sum(p.numel() for p in net.parameters()) > 1.1 * count
    with torch.no_grad():
        torch.testing.assert_close(unroll(net, clips)[0], unroll(plain, clips)[0])
        net = randomized_branches()
        expected, _ = unroll(net, clips)
        assert (expected - unroll(plain, clips)[0]).abs().max() > 1e-2
        single = merged(net)
        torch.testing.assert_close(
            unroll(single, clips)[0], expected, atol=1e-5, rtol=0
        )
        # The network with branches continues to learn.
        torch.testing.assert_close(unroll(net, clips)[0], expected)
    path = tmp_path / "merged.safetensors"
    save_checkpoint(path, single, {})
    loaded, _ = load_checkpoint(path)
    assert loaded.state_dict().keys() == plain.state_dict().keys()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, single.state_dict()[name])


def test_rounding_is_to_eight_bits() -> None:
    weight = torch.randn(5, 3, 3, 3) * torch.logspace(-3, 1, 5)[:, None, None, None]
    steps = weight.abs().flatten(1).amax(1)[:, None, None, None] / 127
    levels = round_weight(weight) / steps
    torch.testing.assert_close(levels, (weight / steps).round(), atol=1e-3, rtol=0)

    x = torch.rand(2, 3, 16, 16) * 5 - 1
    x[0, 0, 0, 0] = 0.0
    x.requires_grad_()
    rounded = round_inputs(x)
    assert rounded.unique().numel() <= 256
    assert rounded[0, 0, 0, 0] == 0
    assert float((rounded - x).abs().max().detach()) <= 5 / 255 / 2 * 1.01
    rounded.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_rounding_hardly_changes_the_output(clips: Batch) -> None:
    # Without motion: a cell that just moves or just does not is no matter of rounding.
    clips = replace(clips, search=torch.zeros_like(clips.search))
    net = tiny_net()
    plain, _ = unroll(net, clips)
    round_while_learning(net)
    rounded, _ = unroll(net, clips)
    error = float((rounded - plain).detach().std())
    assert 0 < error < 0.05 * float((plain - clips.noisy).detach().std())
    torch.testing.assert_close(unroll(merged(net), clips)[0], plain)


def test_a_teacher_is_a_second_target_with_a_state_of_its_own(
    data: Path, clips: Batch
) -> None:
    torch.manual_seed(1)
    wide = RecurrentDenoiser(replace(TINY, width=16, hidden=8)).requires_grad_(False)
    taught = teach(wide, clips, bf16=False)
    assert taught.taught is not None
    assert taught.taught.shape == clips.clean.shape
    net, plain = tiny_net(), recipe(data, "taught", bf16=False, teacher_weight=0.25)
    alone, *_ = UnrolledLoss(net, plain)(clips, None)
    both, *_ = UnrolledLoss(net, plain)(taught, None)
    other, *_ = UnrolledLoss(net, plain)(replace(clips, clean=taught.taught), None)
    torch.testing.assert_close(both, alone + 0.25 * other)
    both.backward()
    assert all(p.grad is None for p in wide.parameters())


@pytest.mark.parametrize("everything", [False, True])
def test_resumed_training_gives_the_same_weights(data: Path, everything: bool) -> None:
    changes: dict[str, object] = {}
    if everything:
        save_checkpoint(data / "teacher.safetensors", tiny_net(), {})
        changes = {
            "reparam": True,
            "int8": True,
            "teacher": data / "teacher.safetensors",
            "loss": "charbonnier",
            "stages": (Stage(4, 2, 2, 32), Stage(4, 3, 2, 32, truncate=2)),
            "workers": 2,
        }
    whole = load_checkpoint(train(recipe(data, "whole", **changes)))[0].state_dict()
    # A run that was killed after its first save resumes there.
    halted = recipe(data, "halted", **changes)
    with pytest.raises(KeyboardInterrupt):
        _train_until(halted, 6)
    resumed = load_checkpoint(train(halted))[0].state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, atol=0, rtol=0)


def test_a_run_writes_its_log_even_if_logging_is_configured(data: Path) -> None:
    toml, run = training_toml(data, "run"), data / "runs" / "run"
    main(str(toml))
    assert "kMAC/px, from step 0 of 1" in (run / "log.txt").read_text()
    _, provenance = load_checkpoint(run / "ema.safetensors")
    assert provenance["steps"] == 1
    assert list(provenance["validation_psnr_y"]) == ["mean/10", "mean/30", "mean/50"]
    # Fine-tuning counts on, and says which code made it.
    again = replace(
        Recipe.read(toml), start=run / "ema.safetensors", run=data / "again"
    )
    _, provenance = load_checkpoint(train(again))
    assert provenance["steps"] == 2
    assert provenance["commit"]


def _train_until(
    halted: Recipe, step: int, clip_then: Callable[[Batch], Batch] | None = None
) -> None:
    """Run `halted`, interrupted, or with other clips, from the batch of `step` on."""
    make = batch_module.make_clip

    def changed(*args: object) -> Batch:
        if args[2] == step and clip_then is None:
            raise KeyboardInterrupt
        clip = make(*args)  # type: ignore[arg-type]
        return clip_then(clip) if args[2] == step and clip_then else clip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_module, "make_clip", changed)
        train(halted)


def test_a_loss_of_nan_keeps_the_last_checkpoint(data: Path) -> None:
    broken = recipe(data, "broken")
    kept: dict[Path, bytes] = {}

    def spoiled(clip: Batch) -> Batch:
        kept.update({p: p.read_bytes() for p in broken.run.glob("*.*") if p.is_file()})
        return replace(clip, noisy=clip.noisy * math.nan)

    with pytest.raises(DivergedError, match=r"step 6.*last\.pt is unchanged"):
        _train_until(broken, 6, spoiled)
    assert {path.name for path in kept} >= {"last.pt", "ema.safetensors"}
    assert all(path.read_bytes() == content for path, content in kept.items())


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_error_and_keeps_the_last_checkpoint(data: Path) -> None:
    started = recipe(data, "full")
    started.run.mkdir(parents=True)
    trainer = Trainer(started, Ranks())
    trainer.save("nothing")
    kept = {path: path.read_bytes() for path in started.run.iterdir()}
    sizes = {path.name: len(content) for path, content in kept.items()}
    assert sizes["ema.safetensors"] < sizes["last.pt"]
    for size, name in ((1000, "ema.safetensors"), (sizes["last.pt"] - 1, "last.pt")):
        with (
            full_disk(size),
            pytest.raises(SinkError, match=f"cannot write .*{name}: .*disk full"),
        ):
            trainer.save("nothing")
        for path in (started.run / name, started.run / "last.pt"):
            assert path.read_bytes() == kept[path]
    with full_disk(1000), pytest.raises(SinkError, match=r"cannot write .*npy"):
        cached(data / "stills", data / "cache", 32)
    assert set(started.run.iterdir()) == set(kept)
    assert list((data / "cache").iterdir()) == []


@pytest.mark.parametrize("fails", ["save_last", "save_checkpoint"])
def test_a_run_whose_last_save_failed_still_ends_with_a_checkpoint(
    data: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: object) -> None:
        raise SinkError("full")

    short = recipe(data, "short", stages=(Stage(1, 2, 1, 32),))
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, fails, full)
        with pytest.raises(SinkError):
            train(short)
    _, provenance = load_checkpoint(train(short))
    assert provenance["steps"] == 1


def test_mismatches_are_reported_at_the_start(data: Path) -> None:
    odd = data / "odd.safetensors"
    save_checkpoint(odd, RecurrentDenoiser(replace(TINY, width=16)), {})
    with pytest.raises(
        ConfigError, match=r"width=16.* cannot be a start for .*width=8"
    ):
        train(recipe(data, "start", start=odd))
    tiny = data / "tiny.safetensors"
    save_checkpoint(tiny, RecurrentDenoiser(TINY), {})
    with pytest.raises(ConfigError, match=r"width=16.* cannot be averaged with"):
        train(recipe(data, "blend", start=tiny, blend=odd))
    with pytest.raises(ConfigError, match="has nothing to be averaged with"):
        recipe(data, "blend", blend=odd)
    gray = data / "gray.safetensors"
    save_checkpoint(gray, RecurrentDenoiser(replace(TINY, layout="gray")), {})
    with pytest.raises(ConfigError, match="has layout gray"):
        train(recipe(data, "teacher", teacher=gray))
    (data / "foreign.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(CheckpointError, match="cannot read checkpoint"):
        train(recipe(data, "foreign", teacher=data / "foreign.safetensors"))
    with pytest.raises(ConfigError, match="layout 'gray' cannot be trained"):
        recipe(data, "gray", spec=replace(TINY, layout="gray"))
    with pytest.raises(ConfigError, match="3 processes cannot share 2 clips"):
        train(recipe(data, "ranks"), Ranks(world=3))


def test_a_run_starts_from_the_mean_of_two_checkpoints(data: Path) -> None:
    paths = [data / f"{name}.safetensors" for name in ("one", "other")]
    nets = [RecurrentDenoiser(replace(TINY, name=path.stem)) for path in paths]
    for net, path in zip(nets, paths, strict=True):
        save_checkpoint(path, net, {"steps": 3})
    start, blend = paths
    trainer = Trainer(recipe(data, "mean", start=start, blend=blend), Ranks())
    one, other = (net.state_dict() for net in nets)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    for name, weight in trainer.net.state_dict().items():
        torch.testing.assert_close(weight, (one[name] + other[name]) / 2)


@pytest.mark.parametrize(
    "noise", [Awgn(), Camera(jpeg=0, h264=1)], ids=["awgn", "h264"]
)
def test_rgb_starts_from_yuv420(data: Path, noise: NoiseRecipe) -> None:
    start = data / "yuv420.safetensors"
    save_checkpoint(start, RecurrentDenoiser(TINY), {})
    spec = replace(TINY, layout="rgb", noise_map=4)
    path = train(recipe(data, "rgb", spec=spec, start=start, noise=noise))
    net, provenance = load_checkpoint(path)
    assert net.spec == spec
    assert provenance["validation_psnr_y"].keys() >= {"mean/10", "mean/30", "mean/50"}
    # After eight small steps the weights are nearly those of the start.
    first, _ = load_checkpoint(start)
    torch.testing.assert_close(net.head.weight, first.head.weight, atol=0.02, rtol=0)
    thresholds = net.threshold.weight[:24]
    torch.testing.assert_close(thresholds, first.threshold.weight, atol=0.02, rtol=0)


def test_a_network_of_the_profile_starts_from_one_without(data: Path) -> None:
    start = data / "levels.safetensors"
    old = RecurrentDenoiser(replace(TINY, noise_map=4))
    assert old.noise_map is not None
    nn.init.normal_(old.noise_map.correct.weight, std=0.1)
    save_checkpoint(start, old, {})
    spec = replace(TINY, noise_map=4, profile=True)
    new = Trainer(recipe(data, "profile", spec=spec, start=start), Ranks()).net
    assert new.spec.levels == 7
    # Of white noise both know the same.
    noisy = torch.rand(1, 8, 8, 24, generator=torch.Generator().manual_seed(0))
    state = new.initial_state(32, 32)
    levels = torch.tensor([[0.1, 0.04, 0.04]])
    profile = levels[:, [0, 0, 0, 1, 1, 2, 2]]
    expected, _ = old.eval()(noisy, packed_noise_std(levels, "yuv420"), *state)
    found, _ = new.eval()(noisy, packed_noise_std(profile, "yuv420"), *state)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_run_of_another_model_is_not_resumed(data: Path) -> None:
    run = train(recipe(data, "run", stages=(Stage(1, 2, 1, 32),))).parent
    for changes in ({"spec": replace(TINY, width=16)}, {"reparam": True}):
        with pytest.raises(ConfigError, match=r"cannot resume from .*last\.pt"):
            train(recipe(data, "run", **changes))
    (run / "last.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ConfigError, match=r"last\.pt.*damaged"):
        train(recipe(data, "run"))


def test_curves_and_images_for_tensorboard(data: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(recipe(data, "curves", val_every=4)).parent
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"validation/mean/30", "validation/gain"} <= set(tags["scalars"])
    assert [point.step for point in events.Scalars("validation/mean/30")] == [4, 8]
    (strip, _) = events.Images("a")
    assert (strip.width, strip.height) == (4 * 64, 64)


def test_training_works_without_tensorboard(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    caplog.set_level(logging.INFO)
    assert train(recipe(data, "plain", stages=(Stage(1, 2, 1, 32),))).exists()
    assert caplog.text.count("tensorboard is missing") == 1


def test_a_terminal_shows_a_bar_and_the_log(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    main(str(training_toml(data, "bar")))
    shown = terminal.getvalue()
    assert "\r[########################] 100%  1/1  " in shown
    assert "  loss -" in shown
    # The bar is wiped before a line of the log is written.
    assert " \r20" in shown[shown.index("1/1") :]


def test_all_built_in_recipes_are_valid(tmp_path: Path) -> None:
    recipes = {p.stem: Recipe.read(p) for p in Path("train/recipes").glob("*.toml")}
    assert all(recipe.steps >= 600 for recipe in recipes.values())
    most = {"pico": 4, "nano": 10, "small": 35, "base": 110}
    names = set()
    for name, recipe in recipes.items():
        limit = most[name.split("_")[0]]
        assert 0.9 * limit < kmac_per_pixel(recipe.spec) <= limit
        names.add(recipe.spec.name)
    kinds = ("", "-awgn", "-rgb", "-rgb-awgn")
    several = {model + kind for model in most.keys() - {"pico"} for kind in kinds}
    assert names == {"pico"} | several - {"nano-rgb"}
    like = recipes["nano_rgb_awgn"]
    assert (like.spec.noise_map, like.int8, like.lr) == (16, True, 8e-4)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('like = "wrong.toml"\n')
    with pytest.raises(ConfigError, match="cannot be used"):
        Recipe.read(wrong)
    wrong.write_text('[model]\n[noise]\nkind = "pink"\n')
    with pytest.raises(ConfigError, match=r"noise\.kind must be one of awgn, camera"):
        Recipe.read(wrong)
    wrong.write_text("[model]\n")
    with pytest.raises(ConfigError, match="lacks 'noise'"):
        Recipe.read(wrong)
    for keys, stage, message in (
        ('loss = "mae"', "", "loss must be one of psnr, charbonnier, got 'mae'"),
        ("", "truncate = -1", "stages need positive whole numbers"),
        ("", "truncate = 1.5", "stages need positive whole numbers"),
        ("", "stride = 2", "stride"),
        ("lr = 'fast'", "", "lr must be a number of 0 or more, got 'fast'"),
        ("lr_end = inf", "", "lr_end must be a number of 0 or more, got inf"),
        ("chroma_weight = -1", "", "chroma_weight must be a number of 0 or more"),
        ("soft = 1.5", "", "soft must be a number from 0 to 1, got 1.5"),
        ("ema = nan", "", "ema must be a number from 0 to 1, got nan"),
        ("warmup = -1", "", "warmup must be a whole number, 0 or more, got -1"),
        ("seed = true", "", "seed must be a whole number, 0 or more, got True"),
        ("int8 = 1", "", "int8 must be true or false, got 1"),
        ("workers = 0", "", "workers must be a whole number, 1 or more, got 0"),
        ("save_every = 0", "", "save_every must be a whole number, 1 or more"),
        ("val_every = 2.5", "", "val_every must be a whole number, 1 or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            Recipe.read(training_toml(tmp_path, "wrong", keys, stage))
    with pytest.raises(ConfigError, match="cannot be used"):
        Recipe.read(tmp_path / "missing.toml")


def test_training_needs_neither_pyav_nor_a_runtime(data: Path) -> None:
    recipe = training_toml(data, "bare", "save_every = 1")
    missing = "av", "typer", "openvino", "onnxruntime", "nncf", "tensorboard"
    code = f"""
import sys
sys.modules.update(dict.fromkeys({missing}))
from train.loop import main
main({str(recipe)!r})
from train.degradation.compression import through_codec
through_codec((), None, "h264", 20)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.endswith("ema.safetensors\n")
    assert run.stderr.endswith(
        "noise.h264 needs PyAV: pip install av, or set h264 = 0 and hevc = 0 in the "
        "recipe\n"
    )


def test_the_learning_rate_warms_up(data: Path) -> None:
    rates = [recipe(data, "lr", warmup=warmup).lr_at(0) for warmup in (0, 1, 4)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.25e-3])


def test_checkpoint_keeps_spec_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    net = RecurrentDenoiser(TINY)
    save_checkpoint(path, net, {"steps": 3})
    loaded, provenance = load_checkpoint(path)
    assert loaded.spec == TINY
    assert provenance == {"steps": 3}
    for a, b in zip(net.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_foreign_and_broken_checkpoints_are_rejected(tmp_path: Path) -> None:
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


# Tracing the graph takes 15 s on a good day, and the timeout's signal inside the
# tracer's C++ is a crash of the whole run.
@pytest.mark.timeout(300)
def test_exported_checkpoint_runs_on_every_backend(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamdenoise.export import export
    from streamdenoise.export.export import export_checkpoint
    from streamdenoise.inference.artifact import open_artifact
    from streamdenoise.inference.engine_loader import EngineLoader
    from streamdenoise.inference.load import load_backend
    from streamdenoise.inference.registry import BACKENDS
    from streamdenoise.inference.step_request import StepRequest

    few = partial(export.calibration_inputs, frames=4, clips=4)
    monkeypatch.setattr(export, "calibration_inputs", few)
    path = data / "tiny.safetensors"
    save_checkpoint(path, RecurrentDenoiser(TINY), {"steps": 0, "noise": "awgn"})
    (data / "empty").mkdir()
    with pytest.raises(ConfigError, match="no readable video"):
        export_checkpoint(path, data / "out", data / "empty")
    (data / "out").mkdir()
    running = data / "out" / f"{TINY.name}-int8.bin"
    running.write_bytes(b"mapped by a running process")
    with running.open("rb") as mapped:
        manifest = export_checkpoint(path, data / "out", data / "video")
        assert mapped.read() == b"mapped by a running process"
    files = {running.name, *json.loads(manifest.read_text())["files"].values()}
    assert {file.name for file in manifest.parent.iterdir()} == files | {manifest.name}
    artifact = open_artifact(str(manifest))
    gray = [np.full(s, 128, np.uint8) for s in ((32, 48), (16, 24), (16, 24))]
    for name in ("openvino", "openvino-fp32", "onnxruntime", "eager"):
        backend = load_backend(StepRequest(name, artifact, 32, 48, threads=1))
        planes = backend.step(gray, np.full(3, 0.05, np.float32))
        assert np.abs(planes[0].astype(int) - 128).max() < 30
    # Every file that a backend needs is there, and the self-test passes.
    assert all(artifact.file(entry.needs) for entry in BACKENDS.values())
    EngineLoader(artifact, backend="openvino-fp32").load(256, 256, 8).close()
