"""FastDVDnet, a published network for comparison, trained on our data and noise.

    python -m train.fastdvdnet train/recipes/base_rgb_awgn.toml --seconds 600

Tassano et al., "FastDVDnet: toward real-time deep video denoising without flow
estimation", CVPR 2020, figures 2 and 3. Its published figures come from other data and
other clips, so our networks are compared with this one, which is trained on the same
batches for the same time and validated in the same way.

Unlike our networks it looks two frames ahead. Like them it learns from whole clips: the
first stage runs once on each three frames, the second on each three results.
"""

import argparse
import json
import logging
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from streamdenoise.errors import ConfigError, StreamDenoiseError
from streamdenoise.network.packing import unpack

from .clips.batch import Batch, batches
from .clips.sampler import ClipSampler
from .layers.channels_last import channels_last
from .loss import psnr_loss
from .recipe import Recipe
from .validation import FRAMES, SIGMAS, mean_psnr, noisy_planes, validation_clips

log = logging.getLogger(__name__)

KMAC_PER_PIXEL = 318.0
"""If a stream keeps the first stage's results from frame to frame."""


def _convs(*widths: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """3x3 convolutions with batch normalization and ReLU; the first one strides."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [
            nn.Conv2d(before, after, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
        stride = groups = 1
    return nn.Sequential(*layers)


def _up(before: int, after: int) -> nn.Sequential:
    shuffled = nn.Conv2d(before, 4 * after, 3, padding=1, bias=False)
    return nn.Sequential(_convs(before, before, before), shuffled, nn.PixelShuffle(2))


class DenoisingBlock(nn.Module):
    """The U-Net of both stages: three frames and the noise level to the middle one."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(_convs(12, 90, groups=3), _convs(90, 32))
        self.down1 = _convs(32, 64, 64, 64, stride=2)
        self.down2 = _convs(64, 128, 128, 128, stride=2)
        self.up2, self.up1 = _up(128, 64), _up(64, 32)
        self.leave = nn.Sequential(
            _convs(32, 32), nn.Conv2d(32, 3, 3, padding=1, bias=False)
        )

    def forward(self, three: Tensor, noise_std: Tensor) -> Tensor:
        """Denoise ``(N, 3, 3, H, W)`` frames with maps ``(N, 1, H, W)`` of the std."""
        levels = noise_std[:, None].expand(-1, 3, -1, -1, -1)
        half = self.enter(torch.cat([three, levels], 2).flatten(1, 2))
        quarter = self.down1(half)
        coarse = self.up2(self.down2(quarter))
        fine = self.up1(quarter + coarse)
        return three[:, 1] - self.leave(half + fine)


class FastDvdNet(nn.Module):
    """Two stages of `DenoisingBlock`; 2.48 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = DenoisingBlock(), DenoisingBlock()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, clip: Tensor, noise_std: Tensor) -> Tensor:
        """Denoise clips; beyond their ends frames are mirrored.

        Args:
            clip: ``(N, T, 3, H, W)`` in [0, 1]; T is 3 or more, H and W are multiples
                of 4.
            noise_std: ``(N,)`` in [0, 1].

        Returns:
            The same shape as `clip`, not clipped.
        """
        count, length, _, height, width = clip.shape
        order = [2, 1, *range(length), length - 2, length - 3]
        once = _each_three(self.first, clip[:, order], noise_std)
        assert once.shape == (count, length + 2, 3, height, width)
        return _each_three(self.second, once, noise_std)


def _each_three(block: nn.Module, clip: Tensor, noise_std: Tensor) -> Tensor:
    """Run a block on every three consecutive frames."""
    count, length, *size = clip.shape
    threes = clip.unfold(1, 3, 1).permute(0, 1, 5, 2, 3, 4).flatten(0, 1)
    levels = noise_std.repeat_interleave(length - 2)[:, None, None, None]
    maps = levels.expand(-1, 1, *size[1:])
    return block(threes, maps).unflatten(0, (count, length - 2))


def loss_of(net: FastDvdNet, batch: Batch) -> Tensor:
    """The loss of `train.loss.psnr_loss` on RGB."""
    noisy, clean = (
        unpack(clips.flatten(0, 1))[0].unflatten(0, clips.shape[:2])
        for clips in (batch.noisy, batch.clean)
    )
    denoised = net(noisy, batch.noise_std[:, 0, 0, 0])
    last = [x.permute(0, 1, 3, 4, 2) for x in (denoised, clean)]
    return psnr_loss(*last, luma=3, chroma_weight=0.0)


@torch.inference_mode()
def score(net: FastDvdNet, clips: dict[str, np.ndarray]) -> dict[str, float]:
    """RGB PSNR in dB, as `train.validation.validate` measures networks for RGB."""
    net.eval()
    device = next(net.parameters()).device
    scores = {}
    for sigma in SIGMAS:
        values = []
        for clip in clips.values():
            (noisy,), noise_std, clean = noisy_planes(clip[:FRAMES], sigma, "rgb")
            out = net(noisy[None].to(device), noise_std[:1].to(device))[0].cpu()
            values.append(mean_psnr(out.mul(255).round().clamp(0, 255) / 255, clean))
        scores[f"mean/{sigma}"] = sum(values) / len(values)
    net.train()
    return scores


def train_fastdvdnet(recipe: Recipe, seconds: float) -> dict[str, float]:
    """Train on a recipe's batches until its steps are done or the time is over.

    Args:
        recipe: a recipe for rgb; its data, noise, stages, rates and seed are used.
        seconds: time of training, without validation.

    Returns:
        The scores, which are also logged.

    Raises:
        ConfigError: the recipe is for another layout, or has clips of two frames.
    """
    if recipe.spec.layout != "rgb" or min(s.length for s in recipe.stages) < 3:
        raise ConfigError(
            f"{recipe.run.name} is not a recipe for FastDVDnet, which takes RGB clips "
            "of 3 frames or more; set layout = 'rgb' and length = 3"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    net = channels_last(FastDvdNet(), device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.lr, weight_decay=0.0)
    cache = recipe.run.parent / "cache"
    sampler = ClipSampler.read(
        recipe.data, cache, recipe.max_size, soft=recipe.soft, gray=recipe.gray
    )
    clips = validation_clips(recipe.val)
    short = [name for name, clip in clips.items() if len(clip) < 3]
    if short:
        raise ConfigError(f"{short[0]} in {recipe.val} has fewer than 3 frames")
    started, done = time.monotonic(), 0
    with closing(batches(recipe, sampler, 0)) as shares:
        for batch in shares:
            spent = time.monotonic() - started
            if spent >= seconds:
                break
            # The learning rate reaches its end within the time.
            lr = recipe.lr_at(max(done, int(recipe.steps * spent / seconds)))
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16, enabled=recipe.bf16):
                loss = loss_of(net, batch.to(device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            done += 1
            if done % 100 == 0:
                log.info("step %d loss %.4f", done, float(loss))
    spent = time.monotonic() - started
    scores = score(net, clips)
    log.info("%d steps in %.0f s: %s", done, spent, json.dumps(scores))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description="Train FastDVDnet on a recipe.")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        train_fastdvdnet(Recipe.read(options.recipe), options.seconds)
    except StreamDenoiseError as exc:
        sys.exit(f"error: {exc}")


if __name__ == "__main__":
    main()
