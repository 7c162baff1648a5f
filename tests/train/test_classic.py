"""The textbook denoisers: networks, pictures, noise, training, report, export."""

import csv
import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner, Result

from streamdenoise.cli import main as cli
from streamdenoise.denoisers.picture import PictureDenoiser
from streamdenoise.errors import (
    CheckpointError,
    ConfigError,
    DivergedError,
    SourceOpenError,
)
from streamdenoise.frame import ColorInfo, Frame, bit_depth, plane_shapes
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.io.sources.image import image_paths
from tests.conftest import Clip, skip_or_fail
from train.classic import trainer as trainer_module
from train.classic.benchmark import digits as digits_table
from train.classic.benchmark import markdown, write_readme
from train.classic.benchmark import photos as photos_table
from train.classic.checkpoint import load_network, save_network
from train.classic.config import (
    ClassicConfig,
    parse_grid,
    parse_levels,
    parse_names,
    parse_split,
)
from train.classic.data import Batches, Images, read_images, split, stacked
from train.classic.export import export_network
from train.classic.idx import read_idx
from train.classic.loss import LOSSES
from train.classic.networks.registry import (
    NETWORKS,
    NetworkSpec,
    kmac_per_pixel,
    parameters,
    receptive_field,
)
from train.classic.noise import NOISES, ImageNoise
from train.classic.scores import Score, means, with_noise
from train.classic.train import train_classic
from train.loss import CHARBONNIER_EPS

SIDE = 16
Compiled = Callable[[str, int], Path]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def idx_bytes(samples: np.ndarray, kind: int = 0x08) -> bytes:
    dims = samples.ndim
    header = struct.pack(f">BBBB{dims}I", 0, 0, kind, dims, *samples.shape)
    return header + samples.astype({0x08: ">u1", 0x0D: ">f4"}[kind]).tobytes()


def bars(count: int = 60) -> np.ndarray:
    """Images ``(N, SIDE, SIDE)`` of one white bar each, easy to learn."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((count, SIDE, SIDE), np.uint8)
    places = rng.permutation(3 * (SIDE - 6) ** 2)[:count]
    for picture, place in zip(pictures, places, strict=True):
        top, left = divmod(place // 3, SIDE - 6)
        height = 3 + place % 3
        picture[top : top + height, left : left + 6] = 255
    return pictures


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "bars-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(bars())))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two color pictures, a gray one, a small one and a broken one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (40, 50, 3), np.uint8))
    cv2.imwrite(str(folder / "gray.png"), rng.integers(0, 255, (40, 50), np.uint8))
    cv2.imwrite(str(folder / "small.png"), np.zeros((9, 50, 3), np.uint8))
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def config(data: Path, output: Path, **changes: object) -> ClassicConfig:
    options: dict[str, object] = {
        "networks": ("cnn4dn",),
        "data": str(data),
        "output": output,
        "sigma": (76.5, 76.5),
        "epochs": 2,
        "batch": 8,
        "lr": 3e-3,
        "threads": 1,
    }
    return ClassicConfig(**(options | changes))  # type: ignore[arg-type]


def quiet(line: str) -> None:
    """Nobody is told."""


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_take_any_size(name: str, channels: int) -> None:
    net = NetworkSpec(name, channels).build().eval()
    assert type(net).__doc__, "a network names its source"
    noise_std = torch.full((2, 1, 1, 1), 0.1)
    with torch.inference_mode():
        for size in ((28, 28), (13, 30), (1, 1)):
            noisy = torch.rand(2, channels, *size)
            assert net(noisy, noise_std).shape == noisy.shape
        # The level changes the output of those that take it, and of no others.
        noisy = torch.rand(1, channels, 16, 16)
        out = [net(noisy, torch.full((1, 1, 1, 1), s)) for s in (0.05, 0.4)]
    assert torch.equal(*out) != net.takes_sigma


def test_costs_are_those_of_the_papers() -> None:
    # 9 * (8 + 8*16 + 16*8 + 8*4 + 4) multiplications a pixel.
    assert kmac_per_pixel(NetworkSpec("cnn4dn")) == pytest.approx(2.7)
    # The papers' zoo: 0.56 million for DnCNN, 0.49 million for gray FFDNet.
    assert parameters(NetworkSpec("dncnn").build()) == pytest.approx(556e3, rel=2e-3)
    assert parameters(NetworkSpec("ffdnet").build()) == pytest.approx(486e3, rel=2e-3)
    # 17 layers see 2 * 17 + 1 pixels (section III of DnCNN).
    assert receptive_field(NetworkSpec("dncnn")) == 35


@pytest.mark.parametrize("name", ["poool", "CNN4DN"])
def test_an_unknown_network_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*choose cnn4dn, "):
        NetworkSpec(name)


def test_idx_files_are_read_packed_or_not(tmp_path: Path) -> None:
    samples = bars(3)
    plain, packed, floats = (tmp_path / name for name in ("a", "b.gz", "c"))
    plain.write_bytes(idx_bytes(samples))
    packed.write_bytes(gzip.compress(idx_bytes(samples)))
    floats.write_bytes(idx_bytes(samples / 255, 0x0D))
    assert np.array_equal(read_idx(plain), samples[..., None])
    assert np.array_equal(read_idx(packed), samples[..., None])
    np.testing.assert_allclose(read_idx(floats), samples[..., None] / 255, rtol=1e-6)


def test_idx_files_can_have_colors(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3)).astype(np.uint8)
    path = tmp_path / "colors.idx"
    path.write_bytes(idx_bytes(colors))
    assert np.array_equal(np.stack(read_images(str(path), 3).arrays), colors)
    gray = read_images(str(path), 1)
    assert gray.arrays[0].shape == (8, 9, 1)
    assert gray.notes == ["color was converted to gray"]


def test_idx_files_of_a_folder_are_found_by_what_they_are(
    digits: Path, photos: Path
) -> None:
    folder = digits.parent / "mixed"
    folder.mkdir()
    digits.rename(folder / "anything")
    (folder / "labels").write_bytes(b"\0\0\x08\x01\0\0\0\x02ab")
    shutil.copy(photos / "a.png", folder / "my-images-idx.png")
    pictures = read_images(str(folder), 1)
    assert len(pictures.arrays) == 60
    assert not pictures.are_photos
    assert pictures.notes == [f"1 files beside the IDX files of {folder} are left out"]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda good: b"\x89PNG" + good[4:], "magic number is 89 50 4e 47"),
        (lambda good: b"\0\0\x08\x01" + good[4:], "magic number is 00 00 08 01"),
        (lambda good: good[:-1], "has 783 bytes, its header promises 784"),
        (lambda good: good + b"\0", "has 785 bytes, its header promises 784"),
        (lambda good: good[:7], "has 7 bytes"),
        (lambda good: good[:4] + bytes(12), "has no pictures"),
        (lambda good: b"\0\0\x0b" + good[3:], "magic number is 00 00 0b 03"),
        (lambda good: b"", "magic number is missing"),
        (lambda good: gzip.compress(good)[:-20], "cannot be read"),
        (lambda good: b"\x1f\x8b" + good, "cannot be read"),
    ],
)
def test_bad_idx_files_are_refused(
    tmp_path: Path, spoil: Callable[[bytes], bytes], fault: str
) -> None:
    path = tmp_path / "x-images-idx3-ubyte"
    path.write_bytes(spoil(idx_bytes(bars(3))))
    with pytest.raises(SourceOpenError, match=fault):
        read_images(str(tmp_path), 1)


def test_a_folder_says_what_it_left_out_and_converted(photos: Path) -> None:
    gray = read_images(str(photos), 1, least=32)
    assert [array.shape for array in gray.arrays] == 4 * [(40, 50, 1)]
    assert gray.notes == [
        "1 cannot be read as pictures, left out: broken.jpg",
        "1 smaller than 32 pixels, left out: small.png",
        "3 color pictures were converted to gray",
    ]
    color = read_images(str(photos), 3, resize=24)
    assert {array.shape for array in color.arrays} == {(24, 24, 3)}
    assert color.notes == ["1 cannot be read as pictures, left out: broken.jpg"]
    with pytest.raises(ConfigError, match=r"5 smaller than 64.*left out: a\.png"):
        read_images(str(photos), 1, least=64)
    with pytest.raises(ConfigError, match="no pictures at"):
        read_images(str(photos / "none"), 1)


def test_what_is_there_twice_is_read_once(digits: Path, photos: Path) -> None:
    plain = digits.with_suffix("")
    plain.write_bytes(gzip.decompress(digits.read_bytes()))
    (digits.parent / "t10k-images-idx3-ubyte").mkdir()
    pictures = read_images(str(digits.parent), 1)
    assert len(pictures.arrays) == 60
    assert pictures.notes[-1] == "left out, as copies of others: 60"
    (photos / "z.png").write_bytes((photos / "a.png").read_bytes())
    pictures = read_images(str(photos), 3, least=32)
    assert len(pictures.arrays) == 4
    assert pictures.notes[-1] == "left out, as copies of others: 1"


def test_idx_files_that_do_not_go_together_are_refused(digits: Path) -> None:
    other = digits.with_name("other-images-idx3-ubyte")
    other.write_bytes(idx_bytes(bars(3)[:, 1:]))
    with pytest.raises(ConfigError, match="several sizes or types; name one of them"):
        read_images(str(digits.parent), 1)
    other.write_bytes(idx_bytes(bars(3) / 255, 0x0D))
    with pytest.raises(ConfigError, match="several sizes or types; name one of them"):
        read_images(str(digits.parent), 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pictures_whose_end_is_missing_are_left_out(photos: Path, suffix: str) -> None:
    whole = cv2.imencode(suffix, cv2.imread(str(photos / "a.png")))[1].tobytes()
    (photos / f"cut{suffix}").write_bytes(whole[: len(whole) * 3 // 4])
    pictures = read_images(str(photos), 3)
    assert pictures.notes[0] == (
        f"2 cannot be read as pictures, left out: broken.jpg, cut{suffix}"
    )
    assert len(pictures.arrays) == 5


def test_parts_are_apart_and_the_same_for_a_seed(digits: Path) -> None:
    pictures = read_images(str(digits), 1)
    orders = []
    for seed in (0, 0, 1):
        parts = split(pictures, 0.8, seed)
        assert [len(part.arrays) for part in parts] == [44, 4, 12]
        orders.append([id(array) for part in parts for array in part.arrays])
        assert len(set(orders[-1])) == 60
    assert orders[0] == orders[1] != orders[2]
    with pytest.raises(ConfigError, match="60 pictures cannot be split"):
        split(pictures, 0.995, 0)


def test_augmented_crops_are_of_one_size_and_differ(photos: Path) -> None:
    pictures = read_images(str(photos), 1, least=32)
    batches = Batches(pictures, 3, crop=32, crops=2, augment=True, seed=0)
    first, again, other = (list(batches.epoch(n)) for n in (0, 0, 1))
    assert [tuple(batch.shape) for batch in first] == [(3, 1, 32, 32)] * 2 + [
        (2, 1, 32, 32)
    ]
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    whole = replace(batches, crop=0, augment=False)
    assert sorted(float(x.sum()) for batch in whole.epoch(0) for x in batch) == sorted(
        2 * [float(stacked([array]).sum()) for array in pictures.arrays]
    )


def noise_of(kind: str, brightness: float, level: float = 25.5) -> torch.Tensor:
    noise = ImageNoise(kind, (level, level), clip=False)
    clean = torch.full((1, 3, 96, 96), brightness)
    return noise.add(clean, torch.Generator().manual_seed(0))[0] - clean


def test_noise_has_the_power_that_is_asked_for() -> None:
    for brightness in (0.25, 0.5):
        assert noise_of("gaussian", brightness).std() == pytest.approx(0.1, rel=0.03)
        assert noise_of("poisson", brightness).std() == pytest.approx(
            0.1 * brightness**0.5, rel=0.03
        )
        assert noise_of("speckle", brightness).std() == pytest.approx(
            0.1 * brightness, rel=0.03
        )
    hit = noise_of("salt-pepper", 0.5)
    assert set(hit.unique().tolist()) == {-0.5, 0.0, 0.5}
    assert (hit != 0).float().mean() == pytest.approx(0.1, rel=0.1)
    assert 0.02 < noise_of("camera", 0.5).std() < 0.2


def test_networks_are_told_the_level_of_each_kind_of_noise() -> None:
    """White noise as it was drawn, others by what they did to the picture."""
    gray = torch.full((1, 1, 96, 96), 0.25)
    for kind, expected in (
        ("gaussian", 0.1),
        ("poisson", 0.1 * 0.5),
        ("speckle", 0.1 * 0.25),
        # A twentieth of the pixels is 0.25 too dark, another 0.75 too bright.
        ("salt-pepper", (0.05 * 0.25**2 + 0.05 * 0.75**2) ** 0.5),
    ):
        noise = ImageNoise(kind, (25.5, 25.5), clip=False)
        _, told = noise.add(gray, torch.Generator().manual_seed(0))
        assert float(told) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_noise_of_cameras_fits_any_size(channels: int) -> None:
    clean = torch.full((24, channels, 29, 50), 0.5)
    noise = ImageNoise("camera", (20.0, 40.0))
    noisy, told = noise.add(clean, torch.Generator().manual_seed(0))
    assert noisy.shape == clean.shape
    assert (told > 0).all()


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_the_same_for_a_seed_and_clipped(kind: str) -> None:
    clean = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    noise = ImageNoise(kind, (10.0, 80.0))
    (a, told), (b, _), (c, _) = (
        noise.add(clean, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.min() >= 0
    assert a.max() <= 1
    assert told.shape == (3, 1, 1, 1)
    if kind == "gaussian":
        assert ((told > 10 / 255 - 1e-6) & (told < 80 / 255 + 1e-6)).all()


def test_levels_of_test_pictures_are_spread_evenly() -> None:
    noise = ImageNoise("gaussian", (10.0, 60.0), clip=False)
    pictures = Images([np.full((8, 8, 1), 0.5, np.float32)] * 50, True)
    (held,) = with_noise(pictures, noise, 1)
    levels = 255 * held.noise_std.flatten()
    assert float(levels.mean()) == pytest.approx(35, abs=1)
    # One in every tenth, or nearly so.
    counts, _ = np.histogram(levels, 10, (10, 60))
    assert counts.min() >= 4
    assert counts.max() <= 6
    # The same, however they are grouped.
    parts = [noise.spread(0, 20), noise.spread(20, 30)]
    assert torch.equal(torch.cat(parts), held.noise_std)


def test_losses_are_what_their_names_say() -> None:
    out, clean = torch.full((2, 1, 4, 4), 0.75), torch.ones(2, 1, 4, 4)
    values = {name: float(loss(out, clean)) for name, loss in LOSSES.items()}
    assert values == pytest.approx(
        {
            "mse": 0.0625,
            "l1": 0.25,
            "bce": 0.287682,  # -log(3/4)
            "charbonnier": (0.0625 + CHARBONNIER_EPS**2) ** 0.5,
        },
        rel=1e-5,
    )


def test_a_picture_without_any_error_does_not_spoil_the_mean() -> None:
    clean = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert Score.of(clean, clean, clean).psnr == 100.0


def test_means_are_over_pictures() -> None:
    mean = means([Score(0.1, 10.0, 20.0, 0.5), Score(0.3, 12.0, 30.0, None)])
    assert mean == Score(0.2, 11.0, 25.0, 0.5)


def test_training_learns_and_writes_all_it_found(digits: Path, tmp_path: Path) -> None:
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
    again = train_classic(halted, quiet)  # done: nothing is learned
    expected = whole.results[0]
    for result in (resumed.results[0], again.results[0]):
        assert len(result.points) == 3
        assert result.scores == expected.scores
        for name, value in result.net.state_dict().items():
            assert torch.equal(value, expected.net.state_dict()[name])


def test_runs_are_not_mixed_up(digits: Path, tmp_path: Path) -> None:
    first = config(digits, tmp_path / "out", epochs=1)
    train_classic(first, quiet)
    with pytest.raises(ConfigError, match="has a run already; add --resume"):
        train_classic(first, quiet)
    other = replace(first, resume=True, loss="l1", batch=4)
    with pytest.raises(ConfigError, match="another batch, loss: cannot go on"):
        train_classic(other, quiet)
    # Else what one run was tested on would be what the next one learns from.
    digits.write_bytes(idx_bytes(bars(70)))
    with pytest.raises(ConfigError, match="another set of pictures: cannot go on"):
        train_classic(replace(first, resume=True), quiet)


def test_one_run_that_is_there_stops_all_before_they_begin(
    digits: Path, tmp_path: Path
) -> None:
    train_classic(config(digits, tmp_path / "out", epochs=1), quiet)
    both = config(digits, tmp_path / "out", networks=("resnet", "cnn4dn"), epochs=1)
    with pytest.raises(ConfigError, match="cnn4dn has a run already"):
        train_classic(both, quiet)
    assert not list((tmp_path / "out" / "resnet").iterdir())


def test_a_report_loses_no_run(digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train_classic(config(digits, out, epochs=1), quiet)
    kept = (out / "results.json").read_bytes()
    other = config(digits, out, networks=("resnet",), epochs=1)
    with pytest.raises(ConfigError, match=r"has cnn4dn, which this call leaves out"):
        train_classic(other, quiet)
    assert (out / "results.json").read_bytes() == kept
    both = replace(other, networks=("cnn4dn", "resnet"), resume=True)
    train_classic(both, quiet)
    about = json.loads((out / "results.json").read_text())
    assert [each["name"] for each in about] == ["cnn4dn", "resnet"]
    assert about[0]["noise"] == "gaussian"


def test_a_place_for_pictures_can_have_another_name(
    digits: Path, tmp_path: Path
) -> None:
    first = config(digits, tmp_path / "out", epochs=1)
    train_classic(first, quiet)
    moved = digits.rename(tmp_path / "moved.gz")
    train_classic(replace(first, data=str(moved), resume=True), quiet)


def test_pictures_too_small_to_learn_from_are_refused(
    photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "dots.idx"
    path.write_bytes(idx_bytes(np.arange(60).reshape(60, 1, 1)))
    with pytest.raises(ConfigError, match="1 pixels a side are too few"):
        train_classic(config(path, tmp_path / "out"), quiet)
    with pytest.raises(ConfigError, match="3 pixels a side are too few"):
        train_classic(config(photos, tmp_path / "out", crop=3), quiet)


def test_an_interrupted_training_says_how_to_go_on(
    digits: Path, tmp_path: Path
) -> None:
    lines: list[str] = []

    def halt(line: str) -> None:
        lines.append(line)
        if "epoch 1" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classic(config(digits, tmp_path / "out"), halt)
    assert lines[-1] == "cnn4dn was stopped; add --resume to go on"


def test_a_run_stops_early_and_keeps_its_best(digits: Path, tmp_path: Path) -> None:
    # So high a rate gets worse after a while.
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


def test_a_loss_that_is_no_number_ends_the_run(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        trainer_module.LOSSES, "mse", lambda out, clean: (out - clean).sum() * torch.nan
    )
    fault = r"cnn4dn: loss nan.* in epoch 1; nothing was saved: .* lower --lr"
    with pytest.raises(DivergedError, match=fault):
        train_classic(config(digits, tmp_path / "out"), quiet)


def test_a_sweep_goes_on_without_the_runs_that_diverge(
    digits: Path, tmp_path: Path
) -> None:
    sweep = config(digits, tmp_path / "out", grid={"lr": (1e30, 1e-3)})
    comparison = train_classic(sweep, quiet)
    assert [result.run.name for result in comparison.results] == ["cnn4dn-lr0.001"]
    (note,) = [note for note in comparison.notes if "cnn4dn-lr1e+30" in note]
    assert "start again with a lower --lr" in note


def test_bce_ends_in_a_sigmoid_and_takes_nominal_samples_only(
    digits: Path, tmp_path: Path
) -> None:
    runs = config(digits, tmp_path / "out", loss="bce", epochs=4)
    (result,) = train_classic(runs, quiet).results
    out = result.net(torch.full((1, 1, SIDE, SIDE), 9.0), torch.ones(1, 1, 1, 1))
    assert 0 <= float(out.detach().min()) <= float(out.detach().max()) <= 1
    wide = tmp_path / "wide-images-idx3"
    wide.write_bytes(idx_bytes(bars() / 200, 0x0D))
    for loss in ("bce", "mse"):
        with pytest.raises(ConfigError, match=f"{loss} need samples in 0 to 1"):
            train_classic(config(wide, tmp_path / "bad", loss=loss), quiet)


def test_pictures_smaller_than_what_a_network_sees_are_noted(
    digits: Path, tmp_path: Path
) -> None:
    runs = config(digits, tmp_path / "out", networks=("dncnn",), width=4, epochs=1)
    comparison = train_classic(runs, quiet)
    assert any("dncnn looks at 35 pixels" in note for note in comparison.notes)


def test_options_that_cannot_be_used_are_refused(tmp_path: Path, photos: Path) -> None:
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
        {"loss": "ssim"},
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


def run(*args: object) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def train_by_command(digits: Path, output: Path, *more: object) -> Result:
    return run(
        *("train", "classic", "cnn4dn,autoencoder_mnist", "--data", digits),
        *("--sigma", "76.5", "--epochs", "2", "--batch", "8", "--threads", "1"),
        *("-o", output, *more),
    )


def test_the_command_trains_a_grid_and_prints_a_table(
    digits: Path, tmp_path: Path
) -> None:
    grid = ("--grid", "width=4,8", "--grid", "lr=1e-3")
    result = train_by_command(digits, tmp_path / "out", *grid)
    assert result.exit_code == 0, result.output
    header, *rows = result.stdout.splitlines()
    assert header.split()[:3] == ["network", "parameters", "kMAC/px"]
    names = [row.split()[0] for row in rows[:4]]
    assert names == [
        f"{network}-width{width}-lr0.001"
        for network in ("cnn4dn", "autoencoder_mnist")
        for width in (4, 8)
    ]
    assert all((tmp_path / "out" / n / f"{n}.safetensors").is_file() for n in names)
    assert "cnn4dn-width4-lr0.001: epoch 2, " in result.stderr
    again = train_by_command(digits, tmp_path / "out", *grid)
    assert again.exit_code == 1
    assert "add --resume" in again.stderr


def test_a_run_has_a_place_of_its_own(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ("--data", digits, "--epochs", "1", "--width", "4", "--threads", "1")
    for names, folder in (("cnn4dn", "cnn4dn"), ("cnn4dn,resnet", "cnn4dn+resnet")):
        result = run("train", "classic", names, *more)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "runs" / folder / "report.html").is_file()


def test_a_recipe_needs_no_word_before_it() -> None:
    for words in (("train",), ("train", "recipe")):
        result = run(*words, "none.toml")
        assert result.exit_code == 1
        assert "recipe none.toml cannot be used" in result.stderr


def test_the_report_shows_its_pictures_in_a_browser(
    digits: Path, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        skip_or_fail("chromium", "there is no chromium")
    folder = tmp_path / "out"
    result = train_by_command(digits, folder, "--loss", "bce")
    assert result.exit_code == 0, result.output
    page = (folder / "report.html").read_text()
    sources = re.findall(r"""(?:src|href)=['"]([^'"]{0,22})""", page)
    assert set(sources) == {"data:image/png;base64,"}
    shot = tmp_path / "shot.png"
    subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"),
            *("--disable-background-networking", "--window-size=1200,3000"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}"),
            (folder / "report.html").as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=50,
    )
    seen = cv2.imread(str(shot))
    for name in ("cnn4dn", "autoencoder_mnist"):
        curves = cv2.imread(str(folder / f"{name}-curves.png"))
        strips = cv2.imread(str(folder / f"{name}.png"))
        # Of the PNG the first strip: the page has a caption below each.
        for picture in (curves, strips[:110]):
            found = cv2.matchTemplate(seen, picture, cv2.TM_CCOEFF_NORMED)
            assert found.max() > 0.98
    # Text is there above the first picture: the heading and the table.
    assert (seen[:200] < 100).any()


def test_the_table_of_digits_is_generated(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    digits.rename(tmp_path / "mnist" / digits.name)
    rows = digits_table(0.001, tmp_path / "out", 1, tmp_path)
    names = [row[0] for row in rows[2:]]
    assert names[: len(NETWORKS)] == [f"`{name}`" for name in NETWORKS]
    assert names[len(NETWORKS) :] == [
        *("`autoencoder_pool`", "`autoencoder_strided`", "`autoencoder_mnist`"),
    ]
    assert [row[4] for row in rows[2:]] == len(NETWORKS) * ["mse"] + 3 * ["bce"]


def test_the_table_of_photographs_is_generated(photos: Path, tmp_path: Path) -> None:
    for folder in ("train/stills", "test/images/Set12", "test/images/Kodak24"):
        shutil.copytree(photos, tmp_path / folder)
        for path in (tmp_path / folder).glob("[abc].png"):
            cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (80, 72)))
    header, *rows = photos_table(0.001, tmp_path / "out", 1, tmp_path)
    assert header[4:] == (
        *("Set12 15", "Set12 25", "Set12 50"),
        *("Kodak24 15", "Kodak24 25", "Kodak24 50"),
    )
    ours, published = rows[:5], rows[5:]
    assert [row[0] for row in ours] == [
        *("`dncnn`", "`ffdnet`", "`unet`", "`nano`", "`nano`, RGB")
    ]
    assert all(0 < float(cell) < 60 for row in ours[:4] for cell in row[4:])
    assert ours[4][4:7] == ("", "", "")
    assert all(0 < float(cell) < 60 for cell in ours[4][7:])
    assert ("*DRUNet, published*", *3 * ("",), "33.25", "30.94", "27.90") == (
        published[3][:7]
    )
    assert {len(row) for row in rows} == {len(header)}


def test_a_table_is_put_between_its_marks(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n")
    write_readme("x", markdown([("name", "dB"), ("`a`", "1.0")]), readme)
    assert readme.read_text() == (
        "a\n<!-- x: begin -->\n| name | dB |\n|---|---:|\n| `a` | 1.0 |\n"
        "<!-- x: end -->\nb\n"
    )
    with pytest.raises(ConfigError, match="has no place for a table"):
        write_readme("y", "", readme)


def noise_frame(pix_fmt: str, width: int = 64, height: int = 48) -> Frame:
    """Independent noise in every plane and channel."""
    rng = np.random.default_rng(0)
    peak = (1 << bit_depth(pix_fmt)) - 1
    planes = tuple(
        rng.integers(0, peak, shape).astype(np.uint8 if peak == 255 else np.uint16)
        for shape in plane_shapes(pix_fmt, width, height)
    )
    return Frame(planes, pix_fmt, ColorInfo(), 0, Fraction(1, 25), 0, 0)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Manifests of networks by name and channels, with their checkpoints; made once."""

    @cache
    def made(name: str, channels: int) -> Path:
        folder = tmp_path_factory.mktemp(name)
        path = checkpoint(folder / "mine.safetensors", name, channels)
        return export_network(path, folder)

    return made


def checkpoint(path: Path, name: str, channels: int) -> Path:
    torch.manual_seed(1)
    spec = NetworkSpec(name, channels, 8)
    net = spec.build()
    if name.startswith("autoencoder"):  # else its picture is black
        *_, last = (p for n, p in net.named_parameters() if n.endswith("bias"))
        torch.nn.init.constant_(last, 0.5)
    save_network(path, net, spec, {"data": "none"})
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_compiled_computes_what_was_trained(
    compiled: Compiled, name: str
) -> None:
    manifest = compiled(name, 3)
    frame = noise_frame("rgb24", width=61, height=38)  # multiples of nothing
    net, _, _ = load_network(manifest.with_suffix(".safetensors"))
    with torch.inference_mode():
        expected = net(stacked(list(frame.planes)), torch.full((1, 1, 1, 1), 0.1))
    with PictureDenoiser.load(str(manifest), sigma=25.5, threads=1) as denoiser:
        (clean,) = denoiser.process(frame)
    difference = 255 * expected[0].clamp(0, 1).permute(1, 2, 0).numpy()
    assert np.abs(difference - clean.planes[0]).max() <= 0.51
    assert_same_in_half_precision(open_artifact(str(manifest)))


def assert_same_in_half_precision(artifact: Artifact) -> None:
    """In batches, too."""
    rng = np.random.default_rng(0)
    shape = (2, *artifact.pixels_shape(64, 96)[1:])
    inputs = {
        "pixels": rng.integers(0, 256, shape).astype(np.float32),
        "peak": np.full((1, 1, 1, 1), 255, np.float32),
        "sigma": np.full((2, 3), 0.1, np.float32),
        "strength": np.ones((2, 1, 1, 1), np.float32),
    }

    def run_graph(kind: str, pictures: slice) -> np.ndarray:
        session = onnxruntime.InferenceSession(str(artifact.file(kind)))
        given = {
            put.name: inputs[put.name]
            if put.name == "peak"
            else inputs[put.name][pictures]
            for put in session.get_inputs()
        }
        return session.run(None, given)[0]

    both = run_graph("onnx_fp16", slice(2))
    each = [run_graph("onnx", slice(i, i + 1)) for i in range(2)]
    difference = np.abs(both - np.concatenate(each))
    assert difference.max() <= 1
    assert difference.mean() < 0.2


def test_a_gray_network_cleans_pictures_by_the_command(
    photos: Path, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "mine.safetensors", "resnet", 1)
    more = ("--model", path, "--sigma", "25", "--overwrite", "--threads", "1")
    result = run("image", photos / "a.png", "-o", tmp_path / "clean.png", *more)
    assert result.exit_code == 0, result.output
    assert f"exporting {path}" in result.stderr
    assert "note: mine works on gray: color was converted to gray" in result.stderr
    assert "note: mine is told no noise level: --sigma is ignored" in result.stderr
    result = run("image", photos / "gray.png", "-o", tmp_path / "clean.png", *more)
    assert result.exit_code == 0, result.output
    assert "compiling" not in result.stderr
    assert "converted" not in result.stderr
    gray = cv2.imread(str(photos / "gray.png"), cv2.IMREAD_GRAYSCALE)
    net, _, _ = load_network(path)
    with torch.inference_mode():
        expected = net(stacked([gray[..., None]]), torch.ones(1, 1, 1, 1))
    clean = cv2.imread(str(tmp_path / "clean.png"))
    assert (clean == clean[..., :1]).all()
    difference = 255 * expected[0, 0].clamp(0, 1).numpy() - clean[..., 0]
    assert np.abs(difference).max() <= 0.51
    # New weights of the same name are compiled anew.
    torch.manual_seed(2)
    spec = NetworkSpec("resnet", 1, 8)
    save_network(path, spec.build(), spec, {})
    result = run("image", photos / "gray.png", "-o", tmp_path / "clean.png", *more)
    assert f"exporting {path}" in result.stderr


def test_a_color_network_cleans_video_by_the_command(
    odd_clip: Clip, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "ours.safetensors", "resnet", 3)
    result = run("export", path, "-o", tmp_path / "made")
    assert result.exit_code == 0, result.output
    manifest = Path(result.stdout.strip())
    about = json.loads(manifest.read_text())
    assert (about["network"], about["layout"], about["state"]) == ("resnet", "rgb", {})
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
    result = run("export", path, "--calibration", tmp_path)
    assert result.exit_code == 1
    assert "not compiled to INT8" in result.stderr


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "gray10le", "rgb24"])
def test_what_was_prepared_is_what_frames_need(
    compiled: Compiled, pix_fmt: str, channels: int
) -> None:
    manifest = compiled("resnet", channels)
    with PictureDenoiser.load(str(manifest), threads=1) as denoiser:
        denoiser.prepare(64, 48, pix_fmt)
        prepared = denoiser._engine
        (clean,) = denoiser.process(noise_frame(pix_fmt))
        assert denoiser._engine is prepared is not None
        # There is no INT8 of these networks, which is nothing to complain about.
        assert not any("openvino" in note for note in denoiser.backend_notes)
    assert (clean.pix_fmt, clean.width, clean.height) == (pix_fmt, 64, 48)


def test_a_network_that_makes_all_black_may_do_so(tmp_path: Path) -> None:
    spec = NetworkSpec("cnn4dn", 1, 8)
    net = spec.build()
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    save_network(tmp_path / "dark.safetensors", net, spec, {})
    manifest = export_network(tmp_path / "dark.safetensors", tmp_path)
    with PictureDenoiser.load(str(manifest), threads=1) as denoiser:
        (clean,) = denoiser.process(noise_frame("gray"))
    assert not clean.planes[0].any()


@pytest.mark.parametrize(
    ("pix_fmt", "factor"),
    # Independent noise in R, G and B is weaker in luma, by BT.601 for pictures and by
    # BT.709 for untagged video.
    [("gray", 1.0), ("rgb24", 0.669), ("yuv420p", 0.75)],
)
def test_a_network_of_gray_is_told_the_noise_of_luma(
    compiled: Compiled, pix_fmt: str, factor: float
) -> None:
    model = str(compiled("unet", 1))
    with PictureDenoiser.load(model, sigma=40.0, threads=1) as denoiser:
        denoiser.process(noise_frame(pix_fmt))
        assert denoiser.sigma == pytest.approx(40 * factor, rel=0.01)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_gray_networks_see_video_in_the_range_of_pictures(
    compiled: Compiled, pix_fmt: str
) -> None:
    model = str(compiled("resnet", 1))
    picture = noise_frame("gray")
    video = noise_frame(pix_fmt)
    step = 1 << (bit_depth(pix_fmt) - 8)
    luma = np.round(step * (16 + picture.planes[0] * (219 / 255)))
    planes = (luma.astype(video.planes[0].dtype), *video.planes[1:])
    with PictureDenoiser.load(model, threads=1) as denoiser:
        (expected,) = denoiser.process(picture)
        (clean,) = denoiser.process(video.with_planes(planes))
    difference = clean.planes[0] / step - (16 + expected.planes[0] * (219 / 255))
    assert np.abs(difference).max() <= 4  # of rounding on the way there and back


def test_a_network_of_pictures_runs_live(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "mine.safetensors", "cnn4dn", 1)
    output = tmp_path / "clean.mkv"
    result = run(
        *("live", "testsrc:64x48@10", "--no-window", "--duration", "1"),
        *("-o", output, "--model", path, "--sigma", "127.5", "--threads", "1"),
    )
    assert result.exit_code == 0, result.output
    with av.open(str(output)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 5


def test_a_checkpoint_is_compiled_over_nothing_of_the_users(
    photos: Path, tmp_path: Path
) -> None:
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
    (tmp_path / "mine-guard.npz").mkdir()  # what cannot be written over
    result = run(*command)
    assert result.exit_code == 1
    assert "cannot be exported to its folder" in result.stderr
    assert f"streamdenoise export {path} -o DIR" in result.stderr
    result = run(*command[:-1], tmp_path / "none.safetensors")
    assert result.exit_code == 1
    assert "there is no such file" in result.stderr


def test_folders_that_cannot_be_read_are_named(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(photos))

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read_images(str(photos), 1)
    with pytest.raises(SourceOpenError, match="cannot be read: permission denied"):
        image_paths(photos)


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot read checkpoint"):
        load_network(path)
    shipped = Path(sys.modules["streamdenoise"].__path__[0]) / "weights"
    with pytest.raises(CheckpointError, match="is not a checkpoint of a textbook"):
        load_network(shipped / "nano.safetensors")
