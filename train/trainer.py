"""A network in training, one step at a time."""

import math
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from streamdenoise.errors import ConfigError, DivergedError
from streamdenoise.network.checkpoint import load_checkpoint, save_checkpoint
from streamdenoise.network.model import ModelSpec, RecurrentDenoiser

from .clips.batch import Batch
from .layers.channels_last import channels_last
from .layers.quantize import round_while_learning
from .layers.reparam import add_branches, merged
from .recipe import Recipe
from .run.ranks import Ranks
from .run.saving import commit, read_last, resume, save_last
from .unroll import UnrolledLoss, backward, teach


class Trainer:
    """A network in training: its weights, their average, and the steps done."""

    def __init__(self, recipe: Recipe, ranks: Ranks) -> None:
        """Start as the recipe says, or resume from the run's ``last.pt``.

        Raises:
            ConfigError: `start`, `blend`, `teacher` or ``last.pt`` does not fit the
                recipe.
            CheckpointError: `start`, `blend` or `teacher` is not a checkpoint.
        """
        self.recipe, self.ranks = recipe, ranks
        torch.manual_seed(recipe.seed)
        net = RecurrentDenoiser(recipe.spec)
        self.steps_before = 0
        if recipe.start is not None:
            start, provenance = load_checkpoint(recipe.start)
            if recipe.blend is not None:
                _blend(start, load_checkpoint(recipe.blend)[0])
            _load_start(net, start)
            self.steps_before = provenance.get("steps", 0)
        if recipe.int8:
            round_while_learning(net)
        if recipe.reparam:
            add_branches(net)
        self.net = channels_last(net, ranks.device)
        self._ema = deepcopy(self.net)
        self._teacher = _teacher(recipe, ranks.device)
        self._optimizer = torch.optim.AdamW(
            net.parameters(), lr=recipe.lr, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.done = 0
        self.scores: dict[str, float] = {}
        self.last = recipe.run / "last.pt"
        # Only the machine of the first process is sure to have it.
        saved = ranks.of_first(lambda: read_last(self.last))
        if saved is not None:
            self.done, self.scores = resume(
                self.last, saved, self.net, self._ema, self._optimizer
            )
        unrolled = UnrolledLoss(self.net, recipe)
        self._unrolled = (
            DistributedDataParallel(unrolled) if ranks.world > 1 else unrolled
        )

    def learn(self, batch: Batch) -> float:
        """Take one step, together with the other processes.

        Returns:
            The mean loss of all processes' clips.

        Raises:
            DivergedError: the loss or its gradients are not finite; nothing changed.
        """
        recipe = self.recipe
        lr = recipe.lr_at(self.done)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        batch = batch.to(self.ranks.device)
        if self._teacher is not None:
            batch = teach(self._teacher, batch, recipe.bf16)
        self._optimizer.zero_grad(set_to_none=True)
        truncate = recipe.stage_at(self.done).truncate
        loss = self.ranks.mean(backward(self._unrolled, batch, truncate))
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        if not math.isfinite(loss) or not norm.isfinite():
            raise DivergedError(
                f"loss {loss:.3g}, gradients {norm:.3g} at step {self.done}; "
                f"{self.last} is unchanged: lower lr and start again"
            )
        self._optimizer.step()
        with torch.no_grad():
            decay = min(recipe.ema, (self.done + 1) / (self.done + 10))
            pairs = zip(self._ema.parameters(), self.net.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - decay)
        self.done += 1
        return loss

    def averaged(self) -> RecurrentDenoiser:
        """The network to use: it has the averaged weights, and no branches."""
        return merged(self._ema)

    def save(self, data: str) -> None:
        """Write ``ema.safetensors`` and ``last.pt``, trained on `data`.

        Raises:
            SinkError: one cannot be written; existing files are left as they were.
        """
        recipe = self.recipe
        provenance = {
            "recipe": recipe.run.name,
            "steps": self.steps_before + self.done,
            "commit": commit(),
            "data": data,
            "noise": type(recipe.noise).__name__.lower(),
            "validation_psnr_y": {
                k: round(v, 3) for k, v in self.scores.items() if k[:5] == "mean/"
            },
        }
        save_checkpoint(recipe.run / "ema.safetensors", self.averaged(), provenance)
        # Last, because a run that is complete according to it writes nothing more.
        save_last(
            self.last, self.net, self._ema, self._optimizer, self.done, self.scores
        )


def _blend(net: RecurrentDenoiser, other: RecurrentDenoiser) -> None:
    """Average the weights of two networks into the first.

    The mean of networks of the same origin keeps most of what each has learned
    (Wortsman et al., "Model soups", ICML 2022).

    Raises:
        ConfigError: they have different architectures.
    """
    if replace(other.spec, name=net.spec.name) != net.spec:
        raise ConfigError(f"{other.spec} cannot be averaged with {net.spec}")
    with torch.no_grad():
        pairs = zip(net.parameters(), other.parameters(), strict=True)
        for weight, other_weight in pairs:
            weight.lerp_(other_weight, 0.5)


def _load_start(net: RecurrentDenoiser, start: RecurrentDenoiser) -> None:
    """Start from another network's weights.

    A noise map may be new, because it starts idle, and so may the profile. Thresholds
    may be new too: a network for RGB can start from one for yuv420, whose channels
    equal its first ones.

    Raises:
        ConfigError: `start` has another architecture.
    """
    taken = start.state_dict()
    if net.spec.profile and not start.spec.profile:
        _show_fine_level(taken, net.spec)
    try:
        for key in ("threshold.weight", "threshold.bias"):
            fresh = net.state_dict()[key]
            taken[key] = torch.cat([taken[key], fresh[len(taken[key]) :]])
        odd = net.load_state_dict(taken, strict=False)
    except RuntimeError as exc:  # shapes
        raise ConfigError(f"{start.spec} cannot be a start for {net.spec}") from exc
    missing = [key for key in odd.missing_keys if not key.startswith("noise_map.")]
    if missing or odd.unexpected_keys:
        raise ConfigError(f"{start.spec} cannot be a start for {net.spec}")


def _show_fine_level(weights: dict[str, Tensor], spec: ModelSpec) -> None:
    """Insert the input for the level of fine luma, in place.

    It shares the weights of the only level of luma that there was.
    """
    after = {"head.weight": spec.hidden, "noise_map.look.weight": 0}
    for key in after.keys() & weights.keys():
        weight = weights[key]
        luma = weight.shape[1] - after[key] - 2
        half = weight[:, luma : luma + 1] / 2
        parts = (weight[:, :luma], half, half, weight[:, luma + 1 :])
        weights[key] = torch.cat(parts, 1)


def _teacher(recipe: Recipe, device: str) -> RecurrentDenoiser | None:
    if recipe.teacher is None:
        return None
    teacher, _ = load_checkpoint(recipe.teacher)
    if teacher.spec.layout != recipe.spec.layout:
        raise ConfigError(
            f"the teacher {recipe.teacher} has layout {teacher.spec.layout}, the "
            f"network to train {recipe.spec.layout}; give a teacher of that layout"
        )
    teacher.requires_grad_(False)
    return channels_last(teacher, device)
