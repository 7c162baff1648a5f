"""Validation during training: PSNR of clips, gain under the recipe, an image."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamdenoise.errors import ConfigError
from streamdenoise.imaging.motion import FlowEstimator, search_step
from streamdenoise.network.model import RecurrentDenoiser
from streamdenoise.network.packing import pack, packed_noise_std, unpack

from .clips.cache import decode_video
from .degradation.noise import NoiseRecipe
from .degradation.planes import plane_format, to_8_bits
from .warp_state import find_flows, warp_state

log = logging.getLogger(__name__)

SIGMAS = (10, 30, 50)
"""Noise levels under which clips are denoised, in 8-bit levels."""

FRAMES = 12
"""Number of frames of each clip that are denoised."""


@torch.inference_mode()
def denoise_clip(
    net: RecurrentDenoiser, planes: Sequence[Tensor], levels: Tensor
) -> Tensor:
    """Denoise a clip as a stream: step by step, with the state warped along the motion.

    Args:
        net: the network.
        planes: in [0, 1], as for `streamdenoise.network.packing.pack`.
        levels: the noise profile ``(7,)`` in [0, 1].

    Returns:
        Luma ``(T, 1, H, W)`` or RGB ``(T, 3, H, W)`` in [0, 1], rounded to 8 bits, on
        the CPU.
    """
    height, width = planes[0].shape[-2:]
    device = next(net.parameters()).device
    state = net.initial_state(height, width, device=str(device))
    outputs, estimator = [], FlowEstimator()
    told = net.spec.told(levels)[None]
    channel_std = packed_noise_std(told, net.spec.layout).to(device)
    steps = torch.tensor([search_step(height, width)])
    for packed in pack(tuple(planes)).to(device).split(1):
        if outputs:
            flow = find_flows(estimator, packed, outputs[-1], steps)
            state = warp_state(state, flow)
        out, state = net(packed, channel_std, *state)
        outputs.append(out)
    return to_8_bits(unpack(torch.cat(outputs))[0].cpu())


def noisy_planes(
    clip: np.ndarray, sigma: int, layout: str
) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Add noise under the `video` protocol; the level is the seed.

    Returns:
        The noisy planes, their noise profile ``(7,)``, and the clean luma or RGB.
    """
    generator = torch.Generator().manual_seed(sigma)
    noisy = []
    rgb = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255
    for image in rgb:
        draw = torch.empty_like(image).normal_(generator=generator)
        noisy.append(image + sigma / 255 * draw)
    form = plane_format(layout)
    noise_std = form.white(form.noise_stds(torch.tensor([sigma / 255]))[0])
    return form.planes(to_8_bits(torch.stack(noisy))), noise_std, form.planes(rgb)[0]


def mean_psnr(luma: Tensor, clean: Tensor) -> float:
    """Mean over frames of the PSNR in dB."""
    mse = (luma - clean).square().mean((1, 2, 3)).clamp(min=1e-10)
    return float(-10 * mse.log10().mean())


def validate(
    net: RecurrentDenoiser,
    clips: dict[str, np.ndarray],
) -> dict[str, float]:
    """PSNR of luma or RGB in dB under the `video` protocol, with fixed seeds.

    Returns:
        ``"clip/sigma"`` -> mean over frames, ``"mean/sigma"`` -> mean over clips.
    """
    net.eval()
    results: dict[str, float] = {}
    for sigma in SIGMAS:
        values = {}
        for name, clip in clips.items():
            planes, noise_std, clean = noisy_planes(
                clip[:FRAMES], sigma, net.spec.layout
            )
            values[name] = mean_psnr(denoise_clip(net, planes, noise_std), clean)
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
    """Mean gain in dB of the PSNR of luma or RGB under a noise recipe.

    The recipe also gives the noise levels. Each draw has different noise; the seeds are
    fixed.

    Returns:
        ``gain`` of all frames, and ``gain/first`` of first frames, which have no past,
        like still images.
    """
    net.eval()
    gains, firsts = [], []
    for clip in clips.values():
        rgb = torch.from_numpy(clip[:frames]).permute(0, 3, 1, 2).float() / 255
        form = plane_format(net.spec.layout)
        for draw in range(draws):
            generator = torch.Generator().manual_seed(draw)
            made = noise(rgb, form, generator)
            denoised = denoise_clip(net, made.noisy, made.levels)
            clean = made.clean[0]
            gain = [
                mean_psnr(denoised[part], clean[part])
                - mean_psnr(made.noisy[0][part], clean[part])
                for part in (slice(None), slice(1))
            ]
            gains.append(gain[0])
            firsts.append(gain[1])
    net.train()
    return {"gain": sum(gains) / len(gains), "gain/first": sum(firsts) / len(firsts)}


def frame_strip(
    net: RecurrentDenoiser, clip: np.ndarray, sigma: int = 30, frames: int = 8
) -> Tensor:
    """The last frame of a clip: noisy, denoised, clean, and 4 times the error.

    Args:
        net: the network.
        clip: ``(T, H, W, 3)`` RGB uint8.
        sigma: noise level of the `video` protocol, in 8-bit levels.
        frames: number of frames that are denoised.

    Returns:
        Luma ``(1, H, 4 W)`` or RGB ``(3, H, 4 W)`` in [0, 1]; an error of zero is
        middle gray.
    """
    planes, noise_std, clean = noisy_planes(clip[:frames], sigma, net.spec.layout)
    denoised = denoise_clip(net, planes, noise_std)
    error = (0.5 + 4 * (denoised - clean)).clamp(0, 1)
    return torch.cat([part[-1] for part in (planes[0], denoised, clean, error)], -1)


def _crop8(clip: np.ndarray) -> np.ndarray:
    return clip[:, : clip.shape[1] // 8 * 8, : clip.shape[2] // 8 * 8]


def validation_clips(folder: Path) -> dict[str, np.ndarray]:
    """Read the first frames of every clip in a folder, for `validate`.

    Raises:
        ConfigError: no clip can be read.
    """
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    decoded = {path: _crop8(decode_video(path, FRAMES)) for path in paths}
    for path, clip in decoded.items():
        if not clip.size:
            log.warning("left out of the validation, unreadable: %s", path.name)
    clips = {path.stem: clip for path, clip in decoded.items() if clip.size}
    if not clips:
        raise ConfigError(f"no readable video in {folder}; give validation clips there")
    return clips
