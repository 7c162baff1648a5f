"""Training in several processes: the same clips, the same weights."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.recipes import training_toml
from train.clips.batch import batches, join
from train.clips.sampler import ClipSampler
from train.loop import train
from train.recipe import Recipe


def test_processes_share_the_clips_of_a_step(data: Path) -> None:
    recipe = Recipe.read(training_toml(data, "share"))
    sampler = ClipSampler.read(data, data / "cache", 32)
    (whole,) = batches(recipe, sampler, 0)
    parts = [next(batches(recipe, sampler, 0, rank, 2)) for rank in (0, 1)]
    shared = join(parts)
    order = [0, 2, 1, 3]
    for name in ("noisy", "clean", "noise_std", "search"):
        assert torch.equal(getattr(shared, name), getattr(whole, name)[order])
    for part, expected in zip(shared.state, whole.state, strict=True):
        assert torch.equal(part, expected[order])


# Three interpreters import PyTorch.
@pytest.mark.timeout(300)
def test_two_processes_learn_the_same_as_one(data: Path) -> None:
    keys = "bf16 = false\nwarmup = 1\nlr = 1e-4\nreparam = true\nsave_every = 1"
    runs = {run: training_toml(data, run, keys, "truncate = 2", 3) for run in "ab"}

    def interrupt(step: int, loss: float, pace: float) -> None:
        if step == 2:
            raise KeyboardInterrupt

    # Both resume from the first step of one process.
    alone = Recipe.read(runs["a"])
    with pytest.raises(KeyboardInterrupt):
        train(alone, on_step=interrupt)
    (data / "runs" / "b").mkdir()
    shutil.copy(alone.run / "last.pt", data / "runs" / "b")
    one = torch.load(train(alone).with_name("last.pt"))
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    subprocess.run(
        [*launcher, "--nproc-per-node=2", "-m", "train", str(runs["b"])],
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        check=True,
        timeout=280,
    )
    two = torch.load(data / "runs" / "b" / "last.pt")
    assert two["step"] == one["step"] == 3
    for part in ("net", "ema"):
        for name, tensor in one[part].items():
            torch.testing.assert_close(two[part][name], tensor, atol=1e-5, rtol=0)
    # Adam's first moments are sums of the gradients.
    moments = [
        torch.cat([s["exp_avg"].flatten() for s in run["optimizer"]["state"].values()])
        for run in (one, two)
    ]
    assert moments[0].abs().max() > 1e-3
    torch.testing.assert_close(moments[1], moments[0], atol=1e-5, rtol=0)
    # Only the first process logs.
    log = (data / "runs" / "b" / "log.txt").read_text()
    assert log.count("from step 1 of 3, 2 x cpu") == 1
