"""Noise recipes for training, on RGB clips, with an explicit ``torch.Generator``.

Noise is drawn once for a clip and independently for each frame: a loader that drew new
noise for every window would show the network each frame with several noises, and one
that repeated it would hide that noise changes. Tests cover both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamdenoise.network.model import MIN_GIVEN_STD

from .compression import through_h264, through_jpeg
from .planes import PlaneFormat, Planes, Rgb, Yuv420, to_8_bits


class NoiseRecipe(Protocol):
    """Makes the planes of a noisy clip, and its noise levels, from clean RGB."""

    @property
    def sigma_scales(self) -> Sequence[int]:
        """Scales at which the product estimates this noise, see `plane_noise_std`."""
        ...

    def __call__(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> tuple[Planes, Tensor]:
        """Add noise.

        Args:
            clean: one clip ``(T, 3, H, W)`` in [0, 1].
            form: format of the planes.
            generator: source of all randomness.

        Returns:
            Planes of ``T`` frames, and the noise levels ``(3,)`` in [0, 1] that a user
            or an estimator would give.
        """
        ...


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal float32 samples; NumPy draws them four times faster on a CPU."""
    seed = int(torch.randint(2**62, (), generator=generator))
    drawn = np.random.default_rng(seed).standard_normal(tuple(shape), np.float32)
    return torch.from_numpy(drawn)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _gray_sensor(clean: Tensor, share: float, generator: torch.Generator) -> bool:
    """Whether a clip is from a gray sensor, as is this share of the gray clips."""
    is_gray = torch.equal(clean, clean[:, :1].expand_as(clean))
    return is_gray and _uniform(generator, 0, 1) < share


_MOST_OFF = 0.5
"""Levels are off by at most this many octaves: by factors of 0.7 to 1.4."""


def _misjudge(levels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Multiply each of the levels ``(3,)`` by a random factor in a share of clips."""
    if not share or _uniform(generator, 0, 1) >= share:
        return levels
    off = [_uniform(generator, -_MOST_OFF, _MOST_OFF) for _ in levels]
    return levels * torch.tensor(off).exp2()


@dataclass(frozen=True, slots=True)
class Awgn:
    """White Gaussian noise in RGB, clipped and rounded to 8 bits: the `video` protocol.

    Some clips get noise in the planes instead, of a different level in each, so that
    the network does not rely on RGB's fixed ratio of luma to chroma noise.
    """

    sigma_min: float = 1.0
    """Lowest std in 8-bit levels."""
    sigma_max: float = 55.0
    """Highest std in 8-bit levels."""
    in_planes: float = 0.2
    """Share of clips with noise in the planes."""
    estimated: float = 0.4
    """Share of clips with the level that the product estimates, not the true one."""
    luma_only: float = 0.0
    """Share of gray clips from a gray sensor, which adds no color noise."""
    jittered: float = 0.0
    """Share of clips with the level of each plane off by a factor of 0.7 to 1.4."""

    @property
    def sigma_scales(self) -> tuple[int, ...]:
        return (1,)

    def __call__(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> tuple[Planes, Tensor]:
        planes, levels = self._noisy(clean, form, generator)
        return planes, _misjudge(levels, self.jittered, generator)

    def _noisy(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> tuple[Planes, Tensor]:
        sigma = _uniform(generator, self.sigma_min, self.sigma_max)
        noise_std = sigma / 255
        if _gray_sensor(clean, self.luma_only, generator):
            noise = noise_std * normal(clean[:, :1].shape, generator)
            planes = form.planes(to_8_bits(clean + noise))
            if _uniform(generator, 0, 1) < self.estimated:
                return planes, form.estimate(planes, self.sigma_scales)
            return planes, form.gray_noise_stds(noise_std)
        if isinstance(form, Rgb) or _uniform(generator, 0, 1) >= self.in_planes:
            noise = noise_std * normal(clean.shape, generator)
            planes = form.planes(to_8_bits(clean + noise))
            if _uniform(generator, 0, 1) < self.estimated:
                return planes, form.estimate(planes, self.sigma_scales)
            return planes, form.noise_stds(torch.tensor([noise_std]))[0]
        stds = torch.tensor(
            [0.7 * noise_std]
            + [noise_std * _uniform(generator, 0.05, 0.8) for _ in "UV"]
        )
        planes = tuple(
            to_8_bits(plane + std * normal(plane.shape, generator))
            for plane, std in zip(form.planes(clean), stds, strict=True)
        )
        return planes, stds


@dataclass(frozen=True, slots=True)
class Camera:
    """Noise of a small camera: shot and read noise in linear light, then its pipeline.

    Poisson-Gaussian noise in linear light (Foi et al. 2008, eq. 3) with white-balance
    gains, smeared as by demosaicing and scaling, then the tone curve, the camera's own
    noise filter, 8-bit clipping, and JPEG or H.264 in three clips of four. The given
    level is the product's estimate for the noisy clip, or far off: texture and
    compression mislead every estimate from a single plane, and the network must find
    the level itself.
    """

    sigma_max: float = 45.0
    """Highest std in 8-bit levels at middle gray, before smearing and compression."""
    clean: float = 0.08
    """Share of clips without noise."""
    jpeg: float = 0.3
    """Share of clips that are compressed frame by frame."""
    h264: float = 0.45
    """Share of clips that are compressed as video."""
    smeared: float = 0.75
    """Share of clips with spatially correlated noise."""
    filtered: float = 0.4
    """Share of clips whose camera has filtered the noise already."""
    estimated: float = 0.5
    """Share of clips with about the level that the product estimates; the level of the
    others may be far off."""
    too_low: float = 2.5
    """Octaves by which the given level may be below the true one: estimates use fine
    detail, and cameras leave coarse grain."""
    too_high: float = 1.5
    """Octaves by which it may be above the true one: texture looks like noise."""
    luma_only: float = 0.0
    """As in `Awgn`."""
    jittered: float = 0.0
    """As in `Awgn`, on top of the common error of a clip's levels."""
    white: float = 0.0
    """Share of clips with the noise of `Awgn`: one network learns both."""

    @property
    def sigma_scales(self) -> Sequence[int]:
        return (1, 2)

    def __call__(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> tuple[Planes, Tensor]:
        if self.white and _uniform(generator, 0, 1) < self.white:
            white = Awgn(luma_only=self.luma_only, jittered=self.jittered)
            return white(clean, form, generator)
        gamma = 2.2
        linear = clean.clamp(min=1e-4) ** gamma
        # At middle gray (0.5 after the curve) the curve's slope turns linear-light std
        # into display std.
        gray = 0.5**gamma
        slope = (1 / gamma) * gray ** (1 / gamma - 1)
        level = _uniform(generator, 0.02, 1.0) ** 1.5 * self.sigma_max / 255
        if _uniform(generator, 0, 1) < self.clean:
            level = 0.0
        shot_share = _uniform(generator, 0.3, 0.98)
        gains = torch.tensor(
            [_uniform(generator, 0.8, 1.9), 1.0, _uniform(generator, 0.8, 1.9)]
        )[None, :, None, None]
        is_gray = _gray_sensor(clean, self.luma_only, generator)
        if is_gray:
            gains = torch.ones_like(gains)
        shot = shot_share * linear / gray + (1 - shot_share)
        std = (gains * shot).sqrt() * (level / slope)
        noise = normal((clean[:, :1] if is_gray else clean).shape, generator)
        if _uniform(generator, 0, 1) < self.smeared:
            noise = smear(noise, generator)
        noisy = (linear + noise * std).clamp(1e-6, 1) ** (1 / gamma)
        if _uniform(generator, 0, 1) < self.filtered:
            noisy = filter_noise(clean, noisy, level, generator)
        noisy = to_8_bits(noisy)
        codec = _uniform(generator, 0, 1)
        if codec < self.jpeg:
            noisy = through_jpeg(noisy, int(_uniform(generator, 60, 97)))
        planes = form.planes(noisy)
        if self.jpeg <= codec < self.jpeg + self.h264:
            crf = int(_uniform(generator, 14, 33))
            if isinstance(form, Yuv420):
                planes = through_h264(planes, crf)
            else:
                video = Yuv420()
                planes = (video.rgb(through_h264(video.planes(noisy), crf)),)
        if _uniform(generator, 0, 1) < self.estimated:
            off = _uniform(generator, -0.5, 0.5)
            levels = form.estimate(planes, self.sigma_scales)
        else:
            off = _uniform(generator, -self.too_low, self.too_high)
            pairs = zip(planes, form.planes(clean), strict=True)
            levels = form.measured(tuple(noisy - clean for noisy, clean in pairs))
        levels = _misjudge(levels * 2**off, self.jittered, generator)
        return planes, levels.clamp(min=MIN_GIVEN_STD)


def smear(noise: Tensor, generator: torch.Generator) -> Tensor:
    """Turn white noise ``(T, C, H, W)`` into a mixture of fine and coarse grain.

    The fine grain is blurred by a Gaussian and may be weak; coarse grain is made at
    half and quarter size. The power stays 1. In half of the clips color noise is
    smeared more than luma noise, as in cameras, and weakened.
    """
    fine = _correlate(noise, _uniform(generator, 0.25, 1.0))
    weights = [1.0, *(_uniform(generator, 0, 1.2) ** 2 for _ in range(2))]
    if _uniform(generator, 0, 1) < 0.4:
        # Enlarged or filtered footage has hardly any fine grain.
        weights[0] = _uniform(generator, 0, 0.7) ** 2
    mixed = weights[0] * fine
    for scale, weight in zip((2, 4), weights[1:], strict=True):
        size = [n // scale for n in noise.shape[-2:]]
        coarse = normal((*noise.shape[:2], *size), generator)
        coarse = F.interpolate(coarse, scale_factor=scale, mode="bicubic")
        mixed = mixed + weight * coarse / coarse.std()
    mixed = mixed / sum(w * w for w in weights) ** 0.5
    if noise.shape[1] == 1 or _uniform(generator, 0, 1) < 0.5:
        return mixed
    gray = mixed.mean(1, keepdim=True)
    color = mixed - gray
    grain = 4 if _uniform(generator, 0, 1) < 0.5 else 2
    coarse = F.avg_pool2d(color, grain)
    coarse = F.interpolate(coarse, scale_factor=grain, mode="bicubic")
    share = _uniform(generator, 0.3, 1.0)
    return gray + share * (color.std() / coarse.std()) * coarse


def filter_noise(
    clean: Tensor, noisy: Tensor, level: float, generator: torch.Generator
) -> Tensor:
    """Change the noise as an edge-preserving filter and sharpening would.

    The filters of cameras remove fine grain and leave blotches and edges of noise,
    which estimates from fine detail miss. The image itself keeps its sharpness,
    because the network is not meant to undo the filter.

    Args:
        clean: ``(T, 3, H, W)`` in [0, 1].
        noisy: the same clip with noise.
        level: std of the noise before it was smeared, in [0, 1].
        generator: source of all randomness.

    Returns:
        As `noisy`, not clipped.
    """
    # Bilateral filter (Tomasi and Manduchi, ICCV 1998); it sums over three channels.
    tolerance = 3 * level * _uniform(generator, 0.3, 1.5)
    radius = _uniform(generator, 0.8, 2.5)
    left = torch.stack(
        [
            _bilateral(dirty, tolerance, radius) - _bilateral(image, tolerance, radius)
            for dirty, image in zip(noisy, clean, strict=True)
        ]
    )
    if _uniform(generator, 0, 1) < 0.5:
        soft = F.avg_pool2d(F.pad(left, (1, 1, 1, 1), "replicate"), 3, 1)
        left = left + _uniform(generator, 0, 1.5) * (left - soft)
    return clean + left


def _bilateral(image: Tensor, tolerance: float, radius: float) -> Tensor:
    array = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    filtered = cv2.bilateralFilter(array, 7, max(tolerance, 1e-3), radius)
    return torch.from_numpy(filtered).permute(2, 0, 1)


def _correlate(noise: Tensor, radius: float) -> Tensor:
    """Blur noise by a Gaussian of std `radius` pixels, keeping its power."""
    taps = torch.exp(-0.5 * (torch.arange(-2, 3) / radius) ** 2)
    kernel = taps[:, None] * taps[None, :]
    kernel = kernel / kernel.square().sum().sqrt()
    channels = noise.shape[1]
    weight = kernel.expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(noise, (2, 2, 2, 2), "reflect"), weight, groups=channels)
