"""FastDVDnet in our pipeline."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from streamdenoise.errors import ConfigError
from tests.support.recipes import training_toml
from train.fastdvdnet import KMAC_PER_PIXEL, FastDvdNet, train_fastdvdnet
from train.recipe import Recipe


def test_its_size_is_the_published_one() -> None:
    net = FastDvdNet().eval()
    assert sum(p.numel() for p in net.parameters()) == 2_479_096
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net.first(torch.rand(1, 3, 3, 64, 64), torch.rand(1, 1, 64, 64))
    kmac = counter.get_total_flops() / 2 / 64**2 / 1000
    assert 2 * kmac == pytest.approx(KMAC_PER_PIXEL, abs=0.5)


@torch.inference_mode()
def test_a_frame_depends_on_two_before_and_two_after_it() -> None:
    torch.manual_seed(0)
    net = FastDvdNet().eval()
    clip, noise_std = torch.rand(1, 9, 3, 16, 16), torch.tensor([0.1])
    before = net(clip, noise_std)
    assert before.shape == clip.shape
    clip[:, 4] += 0.5
    changed = (net(clip, noise_std) - before).abs().amax((0, 2, 3, 4)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [2, 3, 4, 5, 6]


def test_it_runs_on_a_recipe_for_rgb(data: Path) -> None:
    recipe = Recipe.read(training_toml(data, "anchor", steps=3))
    with pytest.raises(ConfigError, match="not a recipe for FastDVDnet"):
        train_fastdvdnet(recipe, 60)
    recipe = replace(recipe, spec=replace(recipe.spec, layout="rgb"))
    scores = train_fastdvdnet(recipe, 60)
    assert scores.keys() == {"mean/10", "mean/30", "mean/50"}
    assert all(5 < value < 60 for value in scores.values())
