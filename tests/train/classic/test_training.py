"""Training: learning, resuming, stopping, options."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from streamdenoise.errors import ConfigError, DivergedError
from tests.train.classic.material import SIDE, bars, config, idx_bytes, quiet
from train.classic import trainer as trainer_module
from train.classic.checkpoint import load_network
from train.classic.config import parse_grid, parse_levels, parse_names, parse_split
from train.classic.networks.registry import NETWORKS
from train.classic.noise import ImageNoise
from train.classic.train import train_classic


def test_training_learns_and_writes_its_results(digits: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    changes = {"networks": ("resnet",), "width": 8, "epochs": 12}
    runs = config(digits, tmp_path / "out", **changes)
    comparison = train_classic(runs, lines.append)
    (result,) = comparison.results
    assert result.mean.psnr > result.mean.psnr_noisy + 3
    losses = [point.train_loss for point in result.points]
    assert losses[-1] < 0.5 * losses[0]
    with (tmp_path / "out/resnet/curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == losses
    assert lines[-1].startswith("resnet: epoch 12, ")
    with (tmp_path / "out/resnet/scores.csv").open() as file:
        each = [float(row["psnr"]) for row in csv.DictReader(file)]
    assert each == [score.psnr for score in result.scores]
    (about,) = json.loads((tmp_path / "out/results.json").read_text())
    assert about["psnr"] == pytest.approx(np.mean(each))
    net, spec, provenance = load_network(result.checkpoint)
    assert (spec.name, provenance["loss"]) == ("resnet", "mse")
    assert provenance["epochs"] <= 12
    assert not net.training
    assert list((tmp_path / "out/resnet/tensorboard").glob("events*"))


def test_the_training_part_is_scored_beside_the_test_part(
    digits: Path, tmp_path: Path
) -> None:
    changes = {"networks": ("autoencoder_mnist",), "epochs": 60, "patience": 0}
    runs = config(digits, tmp_path / "out", split=0.2, **changes)
    (result,) = train_classic(runs, quiet).results
    # Ten images are learned by heart; fifty that were not seen differ from them.
    assert result.learned.psnr > result.mean.psnr + 1
    (about,) = json.loads((tmp_path / "out/results.json").read_text())
    assert about["psnr_train"] == result.learned.psnr
    assert about["test_loss"] == result.test_loss


def test_losses_are_compared_in_one_report(digits: Path, tmp_path: Path) -> None:
    runs = config(digits, tmp_path / "out", losses=("mse", "bce"))
    comparison = train_classic(runs, quiet)
    names = [result.run.name for result in comparison.results]
    assert names == ["cnn4dn-mse", "cnn4dn-bce"]
    for result, loss in zip(comparison.results, ("mse", "bce"), strict=True):
        _, spec, provenance = load_network(result.checkpoint)
        assert (spec.squashed, provenance["loss"]) == (loss == "bce", loss)
    mse, bce = comparison.results
    # Every image counts the same, and values outside of [0, 1] count in the loss.
    assert mse.test_loss >= mse.mean.mse - 1e-6
    # The loss of a perfect output of black and white images would be 0.
    assert 0 < bce.test_loss < 1


@pytest.mark.parametrize("name", ["dncnn", "nano"])
def test_resumed_training_gives_the_same_weights(
    digits: Path, tmp_path: Path, name: str
) -> None:
    changes = {"networks": (name,), "width": 8, "epochs": 3, "patience": 0}
    whole = train_classic(config(digits, tmp_path / "whole", **changes), quiet)
    halted = config(digits, tmp_path / "halted", **changes, resume=True)

    def halt(line: str) -> None:
        if "epoch 2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classic(halted, halt)
    resumed = train_classic(halted, quiet)
    again = train_classic(halted, quiet)  # done: no further training
    expected = whole.results[0]
    for result in (resumed.results[0], again.results[0]):
        assert len(result.points) == 3
        assert result.scores == expected.scores
        for name, value in result.net.state_dict().items():
            assert torch.equal(value, expected.net.state_dict()[name])


def test_a_run_is_not_resumed_with_other_options_or_images(
    digits: Path, tmp_path: Path
) -> None:
    first = config(digits, tmp_path / "out", epochs=1)
    train_classic(first, quiet)
    with pytest.raises(ConfigError, match="already has a run; add --resume"):
        train_classic(first, quiet)
    other = replace(first, resume=True, losses=("l1",), batch=4)
    with pytest.raises(ConfigError, match="trained with another batch, loss;"):
        train_classic(other, quiet)
    # Otherwise one run could train on the images that another was tested on.
    digits.write_bytes(idx_bytes(bars(70)))
    with pytest.raises(ConfigError, match="trained with another set of images;"):
        train_classic(replace(first, resume=True), quiet)


def test_an_existing_run_stops_all_before_they_begin(
    digits: Path, tmp_path: Path
) -> None:
    train_classic(config(digits, tmp_path / "out", epochs=1), quiet)
    both = config(digits, tmp_path / "out", networks=("resnet", "cnn4dn"), epochs=1)
    with pytest.raises(ConfigError, match="cnn4dn already has a run"):
        train_classic(both, quiet)
    assert not list((tmp_path / "out" / "resnet").iterdir())


def test_a_report_never_loses_a_run(digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train_classic(config(digits, out, epochs=1), quiet)
    kept = (out / "results.json").read_bytes()
    other = config(digits, out, networks=("resnet",), epochs=1)
    with pytest.raises(ConfigError, match=r"has cnn4dn, which this command leaves out"):
        train_classic(other, quiet)
    assert (out / "results.json").read_bytes() == kept
    both = replace(other, networks=("cnn4dn", "resnet"), resume=True)
    train_classic(both, quiet)
    about = json.loads((out / "results.json").read_text())
    assert [each["name"] for each in about] == ["cnn4dn", "resnet"]
    assert about[0]["noise"] == "gaussian"


def test_a_run_resumes_with_the_same_images_in_another_place(
    digits: Path, tmp_path: Path
) -> None:
    first = config(digits, tmp_path / "out", epochs=1)
    train_classic(first, quiet)
    moved = digits.rename(tmp_path / "moved.gz")
    train_classic(replace(first, data=str(moved), resume=True), quiet)


def test_images_too_small_to_learn_from_are_rejected(
    photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "dots.idx"
    path.write_bytes(idx_bytes(np.arange(60).reshape(60, 1, 1)))
    with pytest.raises(ConfigError, match="1 pixels a side are too few"):
        train_classic(config(path, tmp_path / "out"), quiet)
    with pytest.raises(ConfigError, match="3 pixels a side are too few"):
        train_classic(config(photos, tmp_path / "out", crop=3), quiet)


def test_an_interrupted_training_says_how_to_resume(
    digits: Path, tmp_path: Path
) -> None:
    lines: list[str] = []

    def halt(line: str) -> None:
        lines.append(line)
        if "epoch 1" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classic(config(digits, tmp_path / "out"), halt)
    assert lines[-1] == "cnn4dn was stopped; add --resume to continue it"


def test_a_run_stops_early_and_keeps_its_best(digits: Path, tmp_path: Path) -> None:
    # With so high a learning rate the loss rises after a while.
    wild = config(digits, tmp_path / "out", epochs=60, patience=3, lr=0.3, batch=4)
    (result,) = train_classic(wild, quiet).results
    losses = [point.validation_loss for point in result.points]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3 < 60
    assert load_network(result.checkpoint)[2]["epochs"] == best + 1


def test_minutes_of_cpu_time_end_a_run(digits: Path, tmp_path: Path) -> None:
    timed = config(digits, tmp_path / "out", epochs=0, minutes=0.5 / 60)
    (result,) = train_classic(timed, quiet).results
    assert 0.5 <= result.cpu_s < 2
    assert result.points[-1].lr < 0.05 * timed.lr


def test_a_loss_of_nan_ends_the_run(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        trainer_module.LOSSES, "mse", lambda out, clean: (out - clean).sum() * torch.nan
    )
    fault = r"cnn4dn: loss nan.* in epoch 1; nothing was saved: .* lower --lr"
    with pytest.raises(DivergedError, match=fault):
        train_classic(config(digits, tmp_path / "out"), quiet)


def test_a_grid_continues_without_the_runs_that_diverge(
    digits: Path, tmp_path: Path
) -> None:
    sweep = config(digits, tmp_path / "out", grid={"lr": (1e30, 1e-3)})
    comparison = train_classic(sweep, quiet)
    assert [result.run.name for result in comparison.results] == ["cnn4dn-lr0.001"]
    (note,) = [note for note in comparison.notes if "cnn4dn-lr1e+30" in note]
    assert "start again with a lower --lr" in note


def test_bce_ends_in_a_sigmoid_and_needs_samples_in_0_to_1(
    digits: Path, tmp_path: Path
) -> None:
    runs = config(digits, tmp_path / "out", losses=("bce",), epochs=4)
    (result,) = train_classic(runs, quiet).results
    out = result.net(torch.full((1, 1, SIDE, SIDE), 9.0), torch.ones(1, 1, 1, 1))
    assert 0 <= float(out.detach().min()) <= float(out.detach().max()) <= 1
    wide = tmp_path / "wide-images-idx3"
    wide.write_bytes(idx_bytes(bars() / 200, 0x0D))
    for loss in ("bce", "mse"):
        with pytest.raises(ConfigError, match=f"{loss} need samples in 0 to 1"):
            train_classic(config(wide, tmp_path / "bad", losses=(loss,)), quiet)


def test_images_below_the_receptive_field_are_noted(
    digits: Path, tmp_path: Path
) -> None:
    runs = config(digits, tmp_path / "out", networks=("dncnn",), width=4, epochs=1)
    comparison = train_classic(runs, quiet)
    assert any(
        "receptive field of dncnn is 35 pixels" in note for note in comparison.notes
    )


def test_bad_options_are_rejected(tmp_path: Path, photos: Path) -> None:
    assert parse_split("80:20") == 0.8
    assert parse_names("cnn4dn, nano") == ("cnn4dn", "nano")
    assert parse_names("all") == tuple(NETWORKS)
    assert parse_levels("25") == (25.0, 25.0)
    assert parse_levels("0-55") == (0.0, 55.0)
    assert parse_grid(["lr=1e-3,1e-4", "width=8"]) == {
        "lr": (1e-3, 1e-4),
        "width": (8,),
    }
    assert parse_grid(["lr=1e-3", "lr=3e-4,0.001"]) == {"lr": (1e-3, 3e-4)}
    for parse, text in (
        (parse_split, "80"),
        (parse_split, "0:0"),
        (parse_split, "inf:inf"),
        (parse_split, "-80:-20"),
        (parse_levels, "loud"),
        (parse_grid, ["depth=3"]),
        (parse_grid, ["lr=0"]),
        (parse_grid, ["lr=nan"]),
        (parse_grid, ["lr=1e-3,inf"]),
        (parse_grid, ["batch=1.5"]),
    ):
        with pytest.raises(ConfigError):
            parse(text)  # type: ignore[arg-type]
    for changes in (
        {"losses": ("ssim",)},
        {"epochs": 0},
        {"minutes": -1.0},
        {"resize": 32},
        {"batch": 0},
        {"lr": 0.0},
        {"split": 1.0},
        {"width": 2},
        {"networks": ()},
        {"threads": 0},
        {"seed": 1 << 32},
    ):
        with pytest.raises(ConfigError):
            config(tmp_path, tmp_path, **changes)
    for noise in (("mist", (1.0, 1.0)), ("gaussian", (9.0, 3.0))):
        with pytest.raises(ConfigError):
            ImageNoise(*noise)  # type: ignore[arg-type]
    cv2.imwrite(str(photos / "d.png"), np.zeros((30, 30, 3), np.uint8))
    with pytest.raises(ConfigError, match="add --resize 256"):
        train_classic(config(photos, tmp_path / "out", crop=0), quiet)
