"""Batches of noisy clips, each clip a pure function of (seed, step, index)."""

import math
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from streamdenoise.network.model import State
from streamdenoise.network.packing import pack, packed_noise_std

from ..degradation.graphics import draw_graphics
from ..degradation.planes import plane_format
from ..recipe import Recipe
from .sampler import ClipSampler

_SEARCH_SHARES = (0.15, 0.6, 0.25)
"""Shares of clips whose motion is ignored, searched at full size, and at half size."""


_GRAPHICS_SHARE = 0.1
"""Share of clips with bars or graphics that have no noise."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed clips, the noise level of each, and a first state."""

    noisy: Tensor
    """``(N, T, h, w, C)``."""
    clean: Tensor
    """``(N, T, h, w, C)``."""
    noise_std: Tensor
    """``(N, 1, 1, C)`` in [0, 1]."""
    search: Tensor
    """``(N,)`` on the CPU: how motion is searched, see `steps` of `find_flows`."""
    state: State
    taught: Tensor | None = None
    """A teacher's output for `noisy`."""

    def frames(self, start: int, stop: int) -> "Batch":
        """The same batch with frames `start` to `stop` only, and the same state."""
        taught = None if self.taught is None else self.taught[:, start:stop]
        noisy, clean = (clips[:, start:stop] for clips in (self.noisy, self.clean))
        return replace(self, noisy=noisy, clean=clean, taught=taught)

    def to(self, device: str) -> "Batch":
        """The same batch on `device`, without a teacher's output."""
        fused, frames, hidden, low = (part.to(device) for part in self.state)
        return replace(
            self,
            noisy=self.noisy.to(device),
            clean=self.clean.to(device),
            noise_std=self.noise_std.to(device),
            state=(fused, frames, hidden, low),
        )


def make_clip(recipe: Recipe, sampler: ClipSampler, step: int, index: int) -> Batch:
    """Make the clip at `index` of the batch of `step`, as a batch of one."""
    stage = recipe.stage_at(step)
    rng = np.random.default_rng((recipe.seed, step, index))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    spec = recipe.spec
    clip, static = sampler.draw(stage.length, stage.size, rng)
    rgb = torch.from_numpy(clip).permute(0, 3, 1, 2).float().div_(255)
    form = plane_format(spec.layout, limited=bool(rng.random() < 0.75))
    made = recipe.noise(rgb, form, generator)
    if rng.random() < _GRAPHICS_SHARE:
        draw_graphics(made.noisy, made.clean, rng)
    noisy, clean = pack(made.noisy), pack(made.clean)
    channel_std = packed_noise_std(spec.told(made.levels)[None], spec.layout)
    # Some clips start in mid-stream, with the mean of many frames of the scene, which
    # may have changed since.
    count = 0.0
    warm = torch.zeros_like(clean[:1])
    if rng.random() < (0.5 if static else 0.15):
        count = float(rng.integers(2, 64))
        rest = torch.empty_like(warm).normal_(generator=generator)
        # Not from the given level, which may be wrong.
        std = (noisy - clean).std((0, 1, 2))
        warm = clean[:1] + rest * std / math.sqrt(count)
    h, w = warm.shape[1:3]
    return Batch(
        noisy=noisy[None],
        clean=clean[None],
        noise_std=channel_std,
        search=torch.from_numpy(rng.choice(3, 1, p=_SEARCH_SHARES)),
        state=(
            warm,
            torch.full((1, h, w, spec.bands), count),
            torch.zeros(1, h, w, spec.hidden),
            torch.zeros(1, h // 2, w // 2, spec.hidden_low),
        ),
    )


def join(clips: list[Batch]) -> Batch:
    """Join batches without a teacher's output."""
    fused, frames, hidden, low = (
        torch.cat(parts) for parts in zip(*(clip.state for clip in clips), strict=True)
    )
    return Batch(
        noisy=torch.cat([clip.noisy for clip in clips]),
        clean=torch.cat([clip.clean for clip in clips]),
        noise_std=torch.cat([clip.noise_std for clip in clips]),
        search=torch.cat([clip.search for clip in clips]),
        state=(fused, frames, hidden, low),
    )


def batches(
    recipe: Recipe, sampler: ClipSampler, start: int, rank: int = 0, world: int = 1
) -> Generator[Batch, None, None]:
    """This process's share of the batches from step `start` on, prepared one ahead.

    Threads make the clips, each with one thread of PyTorch: more would only compete
    with the network.
    """
    with ThreadPoolExecutor(
        recipe.workers, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:

        def ask(step: int) -> list[Future[Batch]]:
            if step >= recipe.steps:
                return []
            share = range(rank, recipe.stage_at(step).batch, world)
            return [pool.submit(make_clip, recipe, sampler, step, i) for i in share]

        ahead = ask(start)
        try:
            for step in range(start, recipe.steps):
                clips, ahead = ahead, ask(step + 1)
                yield join([clip.result() for clip in clips])
        finally:
            for clip in ahead:
                clip.cancel()
