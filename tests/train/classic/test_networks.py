"""The textbook networks: sizes, costs, checkpoints."""

import sys
from pathlib import Path

import pytest
import torch

from streamdenoise.errors import CheckpointError, ConfigError
from train.classic.checkpoint import load_network
from train.classic.networks.registry import (
    NETWORKS,
    NetworkSpec,
    kmac_per_pixel,
    parameters,
    receptive_field,
)


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
    with pytest.raises(ConfigError, match=f"{name}.*choose from cnn4dn, "):
        NetworkSpec(name)


def test_a_checkpoint_of_another_kind_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot read checkpoint"):
        load_network(path)
    shipped = Path(sys.modules["streamdenoise"].__path__[0]) / "weights"
    with pytest.raises(CheckpointError, match="is not a checkpoint of a textbook"):
        load_network(shipped / "nano.safetensors")
