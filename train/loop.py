"""The unrolled training loop: ``python -m train RECIPE`` or ``streamdenoise train``."""

import json
import logging
import math
import os
import subprocess
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from streamdenoise.checkpoint import load_checkpoint, save_checkpoint
from streamdenoise.errors import ConfigError
from streamdenoise.model import (
    ModelSpec,
    RecurrentDenoiser,
    State,
    kmac_per_pixel,
    pack,
    packed_sigma,
    unpack,
)
from streamdenoise.motion import FlowEstimator, search_step
from train import noise as noise_recipes
from train.data import ClipSampler, cached, decode_video
from train.motion import find_flows, warp_state
from train.noise import NoiseRecipe, plane_sigmas, rgb_to_planes

log = logging.getLogger(__name__)

_SEARCH_SHARES = (0.15, 0.6, 0.25)
"""Shares of clips whose motion is not followed, searched at full and at half size."""

_ROUNDING = 1 / (12 * 255**2)
"""MSE of rounding to 8 bits: no output can do better, so the loss stops there."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the schedule with one clip shape."""

    steps: int
    length: int
    """Frames that are unrolled."""
    batch: int
    size: int
    """Crop height and width in pixels, a multiple of 8."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run, read from TOML."""

    spec: ModelSpec
    noise: NoiseRecipe
    stages: tuple[Stage, ...]
    data: Path
    """Folder with ``video/`` and ``stills/``."""
    val: Path
    """Folder of clean validation clips."""
    run: Path
    """Folder for checkpoints and the log; decoded data goes to ``cache`` beside it."""
    lr: float = 1e-3
    lr_end: float = 1e-6
    warmup: int = 300
    ema: float = 0.999
    seed: int = 0
    chroma_weight: float = 0.2
    bf16: bool = True
    start: Path | None = None
    """A checkpoint to start from, for fine-tuning."""
    save_every: int = 500
    val_every: int = 2000

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """Read a recipe; relative folders are relative to the working directory.

        Raises:
            ConfigError: not a file, not TOML, a key that is unknown or missing, or a
                noise recipe of an unknown name.
        """
        try:
            table = tomllib.loads(path.read_text())
            return cls._of(table)
        except (OSError, ValueError, TypeError, KeyError) as exc:
            missing = "lacks " if isinstance(exc, KeyError) else ""
            raise ConfigError(
                f"the recipe {path} cannot be used: {missing}{exc}; "
                "train/recipes has examples"
            ) from exc

    @classmethod
    def _of(cls, table: dict[str, Any]) -> "Recipe":
        noise = dict(table.pop("noise"))
        kinds = {"awgn": noise_recipes.Awgn, "camera": noise_recipes.Camera}
        kind = noise.pop("kind")
        if kind not in kinds:
            raise ValueError(f"noise.kind must be one of {', '.join(kinds)}")
        folders = {
            key: Path(table.pop(key))
            for key in ("data", "val", "run", "start")
            if key in table
        }
        return cls(
            spec=ModelSpec(**table.pop("model")),
            noise=kinds[kind](**noise),
            stages=tuple(Stage(**stage) for stage in table.pop("stages")),
            **folders,
            **table,
        )

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def lr_at(self, step: int) -> float:
        """Linear warm-up, then a cosine to `lr_end`."""
        warm = min(1.0, (step + 1) / self.warmup)
        turn = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return warm * (self.lr_end + (self.lr - self.lr_end) * turn)


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed clips ``(N, T, h, w, C)``, sigmas ``(N, 1, 1, C)`` and a first state."""

    noisy: Tensor
    clean: Tensor
    sigma: Tensor
    search: Tensor
    """``(N,)``: how motion is followed, `steps` of `find_flows`."""
    state: State


def make_batch(recipe: Recipe, sampler: ClipSampler, step: int) -> Batch:
    """Make the batch of `step`: a pure function of the recipe's seed and the step."""
    stage = recipe.stage_at(step)
    rng = np.random.default_rng((recipe.seed, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    net_spec = recipe.spec
    noisy, clean, sigmas, fused, frames = [], [], [], [], []
    for _ in range(stage.batch):
        clip, static = sampler.draw(stage.length, stage.size, rng)
        rgb = torch.from_numpy(clip).permute(0, 3, 1, 2).float().div_(255)
        limited = bool(rng.random() < 0.75)
        planes, sigma = recipe.noise(rgb, limited, generator)
        packed_clean = pack(rgb_to_planes(rgb, limited))
        packed_noisy = pack(planes)
        channel_sigma = packed_sigma(sigma[None], net_spec.layout)
        # A part of the clips starts in mid-stream: with the mean of many frames of
        # the scene as it was, which may have changed since.
        count = 0.0
        warm = torch.zeros_like(packed_clean[0])
        if rng.random() < (0.5 if static else 0.15):
            count = float(rng.integers(2, 64))
            rest = torch.empty_like(warm).normal_(generator=generator)
            warm = packed_clean[0] + rest * channel_sigma[0] / math.sqrt(count)
        noisy.append(packed_noisy)
        clean.append(packed_clean)
        sigmas.append(channel_sigma[0])
        fused.append(warm)
        frames.append(torch.full_like(warm[..., : net_spec.bands], count))
    h = w = stage.size // 4
    state = (
        torch.stack(fused),
        torch.stack(frames),
        torch.zeros(stage.batch, h, w, net_spec.hidden),
        torch.zeros(stage.batch, h // 2, w // 2, net_spec.hidden_low),
    )
    return Batch(
        torch.stack(noisy),
        torch.stack(clean),
        torch.stack(sigmas),
        torch.from_numpy(rng.choice(3, stage.batch, p=_SEARCH_SHARES)),
        state,
    )


def unroll(net: RecurrentDenoiser, batch: Batch) -> tuple[Tensor, State]:
    """Denoise the clips of a batch, warping the state along their motion.

    Returns:
        ``(N, T, h, w, C)`` and the last state.
    """
    state, outputs, estimator = batch.state, [], FlowEstimator()
    for frame in batch.noisy.unbind(1):
        if outputs:
            flow = find_flows(estimator, frame, outputs[-1], batch.search)
            state = warp_state(state, flow)
        denoised, state = net(frame, batch.sigma, *state)
        outputs.append(denoised)
    return torch.stack(outputs, 1), state


def batches(recipe: Recipe, sampler: ClipSampler, start: int) -> Iterator[Batch]:
    """Batches from `start` on, made one ahead in a thread.

    That thread computes alone: helpers of its own would only fight the network's.
    """
    with ThreadPoolExecutor(
        1, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        ahead = pool.submit(make_batch, recipe, sampler, start)
        for step in range(start, recipe.steps):
            batch = ahead.result()
            if step + 1 < recipe.steps:
                ahead = pool.submit(make_batch, recipe, sampler, step + 1)
            yield batch


def psnr_loss(
    denoised: Tensor, clean: Tensor, luma: int, chroma_weight: float
) -> Tensor:
    """Mean log MSE over clips and frames: every noise level counts the same in dB.

    Args:
        denoised: ``(N, T, h, w, C)``.
        clean: the same.
        luma: channels of luma, first in C.
        chroma_weight: weight of the other channels' term.
    """
    error = (denoised.float() - clean).square()
    loss = (error[..., :luma].mean((2, 3, 4)) + _ROUNDING).log().mean()
    if luma < error.shape[-1]:
        chroma = (error[..., luma:].mean((2, 3, 4)) + _ROUNDING).log().mean()
        loss = loss + chroma_weight * chroma
    return loss


@torch.inference_mode()
def denoise_clip(
    net: RecurrentDenoiser, planes: Sequence[Tensor], sigma: Tensor
) -> Tensor:
    """Denoise a clip as a stream: one step a frame, the state follows the motion.

    Args:
        net: layout yuv420.
        planes: ``(T, 1, H, W)`` and twice ``(T, 1, H/2, W/2)``, in [0, 1].
        sigma: ``(3,)`` that the network is told, in [0, 1].

    Returns:
        Luma ``(T, 1, H, W)``, rounded to 8 bits, in [0, 1].
    """
    height, width = planes[0].shape[-2:]
    state, outputs, estimator = net.initial_state(height, width), [], FlowEstimator()
    channel_sigma = packed_sigma(sigma[None], net.spec.layout)
    steps = torch.tensor([search_step(height, width)])
    for packed in pack(tuple(planes)).split(1):
        if outputs:
            flow = find_flows(estimator, packed, outputs[-1], steps)
            state = warp_state(state, flow)
        out, state = net(packed, channel_sigma, *state)
        outputs.append(out)
    luma = unpack(torch.cat(outputs), net.spec.layout)[0]
    return luma.mul(255).round().clamp(0, 255) / 255


def _mean_psnr(luma: Tensor, clean: Tensor) -> float:
    """Mean over frames, in dB."""
    mse = (luma - clean).square().mean((1, 2, 3)).clamp(min=1e-10)
    return float(-10 * mse.log10().mean())


def validate(
    net: RecurrentDenoiser,
    clips: dict[str, np.ndarray],
    sigmas: tuple[int, ...] = (10, 30, 50),
    frames: int = 12,
) -> dict[str, float]:
    """PSNR-Y in dB of clips under the `video` protocol, noise of a fixed seed.

    Returns:
        ``"clip/sigma"`` -> mean over frames, ``"mean/sigma"`` -> mean over clips.
    """
    net.eval()
    results: dict[str, float] = {}
    for sigma in sigmas:
        told = plane_sigmas(torch.tensor([sigma / 255]))[0]
        values = {}
        for name, clip in clips.items():
            generator = torch.Generator().manual_seed(sigma)
            noisy = []
            rgb = torch.from_numpy(clip[:frames]).permute(0, 3, 1, 2).float() / 255
            for image in rgb:
                draw = torch.empty_like(image).normal_(generator=generator)
                noisy.append(image + sigma / 255 * draw)
            planes = rgb_to_planes(
                torch.stack(noisy).mul(255).round().clamp(0, 255) / 255
            )
            luma = denoise_clip(net, planes, told)
            values[name] = _mean_psnr(luma, rgb_to_planes(rgb)[0])
        results |= {f"{name}/{sigma}": value for name, value in values.items()}
        results[f"mean/{sigma}"] = sum(values.values()) / len(values)
    net.train()
    return results


def validate_recipe(
    net: RecurrentDenoiser,
    noise: NoiseRecipe,
    clips: dict[str, np.ndarray],
    draws: int = 4,
    frames: int = 6,
) -> dict[str, float]:
    """Mean gain of PSNR-Y in dB under a noise recipe, told what the recipe tells.

    Each draw has noise of its own; the seeds are fixed.

    Returns:
        ``gain`` of all frames and ``gain/first`` of first frames, as those of pictures.
    """
    net.eval()
    gains, firsts = [], []
    for clip in clips.values():
        rgb = torch.from_numpy(clip[:frames]).permute(0, 3, 1, 2).float() / 255
        clean = rgb_to_planes(rgb)[0]
        for draw in range(draws):
            generator = torch.Generator().manual_seed(draw)
            planes, told = noise(rgb, True, generator)
            luma = denoise_clip(net, planes, told)
            gain = [
                _mean_psnr(luma[part], clean[part])
                - _mean_psnr(planes[0][part], clean[part])
                for part in (slice(None), slice(1))
            ]
            gains.append(gain[0])
            firsts.append(gain[1])
    net.train()
    return {"gain": sum(gains) / len(gains), "gain/first": sum(firsts) / len(firsts)}


def _crop8(clip: np.ndarray) -> np.ndarray:
    return clip[:, : clip.shape[1] // 8 * 8, : clip.shape[2] // 8 * 8]


def validation_clips(folder: Path) -> dict[str, np.ndarray]:
    """First frames of every clip that decodes, as `validate` takes them.

    Raises:
        ConfigError: there is none.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    decoded = {path: _crop8(decode_video(path, 12)) for path in paths}
    for path, clip in decoded.items():
        if not clip.size:
            log.warning("not validated on %s: it is unreadable", path.name)
    clips = {path.stem: clip for path, clip in decoded.items() if clip.size}
    if not clips:
        raise ConfigError(f"no readable video in {folder}; give validation clips there")
    return clips


def _take_over(net: RecurrentDenoiser, start: RecurrentDenoiser) -> None:
    """Start from another network's weights; a noise map may be new, as it starts idle.

    Raises:
        ConfigError: `start` is of another architecture.
    """
    try:
        odd = net.load_state_dict(start.state_dict(), strict=False)
    except RuntimeError as exc:  # shapes
        raise ConfigError(f"{start.spec} is not a start for {net.spec}") from exc
    missing = [key for key in odd.missing_keys if not key.startswith("noise_map.")]
    if missing or odd.unexpected_keys:
        raise ConfigError(f"{start.spec} is not a start for {net.spec}")


def commit() -> str:
    """The commit of the training code; ``unknown`` outside of a repository."""
    here = ["git", "-C", str(Path(__file__).parent)]
    try:
        found = subprocess.run(
            [*here, "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def train(recipe: Recipe) -> Path:
    """Run a recipe, from its last saved step if it was interrupted.

    Returns:
        Path of the final checkpoint (EMA weights).

    Raises:
        FloatingPointError: the loss became NaN; the last good checkpoint is kept.
    """
    # OpenCV's own threads would only fight the network's.
    cv2.setNumThreads(1)
    recipe.run.mkdir(parents=True, exist_ok=True)
    size = max(stage.size for stage in recipe.stages)
    cache = recipe.run.parent / "cache"
    sampler = ClipSampler(
        videos=cached(recipe.data / "video", cache / "video", size),
        stills=cached(recipe.data / "stills", cache / "stills", size),
    )
    clips = validation_clips(recipe.val)

    torch.manual_seed(recipe.seed)
    net = RecurrentDenoiser(recipe.spec)
    before = 0
    if recipe.start is not None:
        start, provenance = load_checkpoint(recipe.start)
        _take_over(net, start)
        before = provenance["steps"]
    net = net.to(memory_format=torch.channels_last)
    ema = deepcopy(net)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=recipe.lr, betas=(0.9, 0.99), weight_decay=0.0
    )
    done = 0
    scores: dict[str, float] = {}
    resume = recipe.run / "last.pt"
    if resume.exists():
        saved = torch.load(resume, weights_only=True)
        net.load_state_dict(saved["net"])
        ema.load_state_dict(saved["ema"])
        optimizer.load_state_dict(saved["optimizer"])
        done, scores = saved["step"], saved["scores"]
    log.info(
        "%s: %.2f kMAC/px, from step %d of %d",
        recipe.spec.name,
        kmac_per_pixel(recipe.spec),
        done,
        recipe.steps,
    )
    luma = 16 if recipe.spec.layout == "yuv420" else recipe.spec.channels
    started, shown = time.monotonic(), 0.0
    for step, batch in enumerate(batches(recipe, sampler, done), done):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            denoised, _ = unroll(net, batch)
        loss = psnr_loss(denoised, batch.clean, luma, recipe.chroma_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"loss is {value} at step {step}; {resume} holds the last good state: "
                "lower lr and start again"
            )
        optimizer.step()
        with torch.no_grad():
            decay = min(recipe.ema, (step + 1) / (step + 10))
            for slow, fast in zip(ema.parameters(), net.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)
        shown = 0.98 * shown + 0.02 * value if shown else value
        now = step + 1
        if now % 100 == 0:
            pace = (time.monotonic() - started) / (now - done)
            log.info("step %d loss %.4f %.3f s/step", now, shown, pace)
        if now % recipe.val_every == 0 or now == recipe.steps:
            scores = validate(ema, clips) | validate_recipe(ema, recipe.noise, clips)
            log.info(
                "step %d %s",
                now,
                json.dumps({k: round(v, 3) for k, v in scores.items()}),
            )
        if now % recipe.save_every == 0 or now == recipe.steps:
            partial = resume.with_suffix(".part")
            torch.save(
                {
                    "net": net.state_dict(),
                    "ema": ema.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": now,
                    "scores": scores,
                },
                partial,
            )
            os.replace(partial, resume)
            save_checkpoint(
                recipe.run / "ema.safetensors",
                ema,
                {
                    "recipe": recipe.run.name,
                    "steps": before + now,
                    "commit": commit(),
                    "data": f"{len(sampler.videos)} clips, "
                    f"{len(sampler.stills)} stills",
                    "noise": type(recipe.noise).__name__.lower(),
                    "sigma_scales": recipe.noise.sigma_scales,
                    "validation_psnr_y": {
                        k: round(v, 3) for k, v in scores.items() if k[:5] == "mean/"
                    },
                },
            )
    return recipe.run / "ema.safetensors"


def main(recipe_path: str) -> None:
    """Train the recipe at `recipe_path`, logging to its run folder and the terminal."""
    recipe = Recipe.read(Path(recipe_path))
    recipe.run.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[logging.StreamHandler(), logging.FileHandler(recipe.run / "log.txt")],
        force=True,  # `streamdenoise train` has its own format
    )
    print(train(recipe))
