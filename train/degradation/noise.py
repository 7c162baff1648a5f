"""Noise recipes for training, on RGB clips, with an explicit ``torch.Generator``.

Noise is drawn once for a clip and independently for each frame: a loader that drew new
noise for every window would show the network each frame with several noises, and one
that repeated it would hide that noise changes. Tests cover both.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from streamdenoise.network.model import MIN_GIVEN_STD

from .camera_filters import average_over_time, enlarge, filter_noise, sharpen
from .compression import through_codec, through_jpeg
from .draws import chance, normal, uniform
from .grain import add_patterns, smear
from .planes import PlaneFormat, Planes, Rgb, to_8_bits
from .sensor import Sensor


@dataclass(frozen=True, slots=True)
class NoisyClip:
    """What a recipe makes of a clean clip."""

    noisy: Planes
    """Planes of ``T`` frames."""
    clean: Planes
    """What to learn. It has the brightness of the noisy planes: where a camera's noise
    is brighter than the scene in the mean, so is this."""
    levels: Tensor
    """The noise profile ``(7,)`` in [0, 1] that a user or an estimator would give."""


class NoiseRecipe(Protocol):
    """Makes a noisy clip from clean RGB."""

    def __call__(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> NoisyClip:
        """Add noise.

        Args:
            clean: one clip ``(T, 3, H, W)``, multiples of 1/255.
            form: format of the planes.
            generator: source of all randomness.
        """
        ...


def _gray_sensor(clean: Tensor, share: float, generator: torch.Generator) -> bool:
    """Whether a clip is from a gray sensor, as is this share of the gray clips."""
    is_gray = torch.equal(clean, clean[:, :1].expand_as(clean))
    return is_gray and chance(generator, share)


_MOST_OFF = 0.5
"""Levels are off by at most this many octaves: by factors of 0.7 to 1.4."""


def _misjudge(levels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Multiply each of the levels by a random factor in a share of clips."""
    if not share or not chance(generator, share):
        return levels
    off = [uniform(generator, -_MOST_OFF, _MOST_OFF) for _ in levels]
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
    """Share of clips with the levels that the product estimates, not the true ones."""
    luma_only: float = 0.0
    """Share of gray clips from a gray sensor, which adds no color noise."""
    jittered: float = 0.0
    """Share of clips with each level off by a factor of 0.7 to 1.4."""

    def __call__(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> NoisyClip:
        planes, levels = self._noisy(clean, form, generator)
        if chance(generator, self.estimated):
            levels = form.estimate(planes)
        levels = _misjudge(levels, self.jittered, generator)
        return NoisyClip(planes, form.planes(clean), levels)

    def _noisy(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> tuple[Planes, Tensor]:
        """The noisy planes, and the true levels."""
        noise_std = uniform(generator, self.sigma_min, self.sigma_max) / 255
        if _gray_sensor(clean, self.luma_only, generator):
            noise = noise_std * normal(clean[:, :1].shape, generator)
            planes = form.planes(to_8_bits(clean + noise))
            return planes, form.white(form.gray_noise_stds(noise_std))
        if isinstance(form, Rgb) or not chance(generator, self.in_planes):
            noise = noise_std * normal(clean.shape, generator)
            planes = form.planes(to_8_bits(clean + noise))
            return planes, form.white(form.noise_stds(torch.tensor([noise_std]))[0])
        stds = torch.tensor(
            [0.7 * noise_std]
            + [noise_std * uniform(generator, 0.05, 0.8) for _ in "UV"]
        )
        planes = tuple(
            to_8_bits(plane + std * normal(plane.shape, generator))
            for plane, std in zip(form.planes(clean), stds, strict=True)
        )
        return planes, form.white(stds)


@dataclass(frozen=True, slots=True)
class Camera:
    """Noise of a small camera: shot and read noise in linear light, then its pipeline.

    `Sensor` noise with the spectra and patterns of `grain`, the tone curve, what
    cameras do to their frames (`camera_filters`), 8-bit clipping, and JPEG, H.264 or
    HEVC. The given levels are the product's estimate for the noisy clip or the true
    ones, off in most clips: texture and compression mislead every estimate, and the
    network must find the level of each place itself.
    """

    sigma_max: float = 45.0
    """Highest std in 8-bit levels at middle gray, before smearing and compression."""
    clean: float = 0.15
    """Share of clips without noise."""
    dark: float = 0.3
    """Share of clips of a night, in which black clips the noise of many pixels."""
    jpeg: float = 0.2
    """Share of clips that are compressed frame by frame."""
    h264: float = 0.35
    """Share of clips that are compressed as video."""
    hevc: float = 0.1
    """The same, by a newer codec."""
    smeared: float = 0.75
    """Share of clips with spatially correlated noise."""
    filtered: float = 0.25
    """Share of clips whose camera has filtered the noise already."""
    averaged: float = 0.2
    """Share of clips whose camera has averaged over time."""
    sharpened: float = 0.2
    """Share of clips whose camera has sharpened the noisy frames."""
    enlarged: float = 0.12
    """Share of clips that are enlarged."""
    patterned: bool = True
    """Whether some clips have lines, fixed patterns and hot pixels."""
    estimated: float = 0.6
    """Share of clips with the levels that the product estimates, not the true ones."""
    far_off: float = 0.15
    """Share of clips with all levels off by the same large factor."""
    too_low: float = 2.0
    """Octaves by which those levels may be below the true ones."""
    too_high: float = 1.5
    """Octaves by which they may be above."""
    luma_only: float = 0.0
    """As in `Awgn`."""
    jittered: float = 0.0
    """As in `Awgn`, on top of the common error of a clip's levels."""
    white: float = 0.0
    """Share of clips with the noise of `Awgn`: one network learns both."""

    def __call__(
        self, clean: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> NoisyClip:
        if self.white and chance(generator, self.white):
            white = Awgn(luma_only=self.luma_only, jittered=self.jittered)
            return white(clean, form, generator)
        wanted, noisy = self._shown(clean, generator)
        noisy = to_8_bits(noisy)
        planes, wanted_planes = self._compressed(noisy, form, generator), wanted.clone()
        wanted_planes = form.planes(to_8_bits(wanted_planes))
        if chance(generator, self.estimated):
            levels = form.estimate(planes)
        else:
            pairs = zip(planes, wanted_planes, strict=True)
            levels = form.measured(tuple(noisy - wanted for noisy, wanted in pairs))
        if chance(generator, self.far_off):
            levels = levels * 2 ** uniform(generator, -self.too_low, self.too_high)
        levels = _misjudge(levels, self.jittered, generator)
        return NoisyClip(planes, wanted_planes, levels.clamp(min=MIN_GIVEN_STD))

    def _shown(
        self, clean: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The clip to learn and the noisy one, before compression."""
        level = uniform(generator, 0.02, 1.0) ** 2 * self.sigma_max / 255
        if chance(generator, self.clean):
            level = 0.0
        gains = [uniform(generator, 0.8, 1.9), 1.0, uniform(generator, 0.8, 1.9)]
        is_gray = _gray_sensor(clean, self.luma_only, generator)
        sensor = Sensor(
            level,
            uniform(generator, 0.3, 0.98),
            torch.ones(3) if is_gray else torch.tensor(gains),
        )
        if chance(generator, self.dark):
            clean = to_8_bits(clean * uniform(generator, 0.08, 0.6))
        wanted = noisy = clean
        if level:
            noise = normal((clean[:, :1] if is_gray else clean).shape, generator)
            if chance(generator, self.smeared):
                noise = smear(noise, generator)
            if self.patterned:
                noise = add_patterns(noise, generator)
            wanted = sensor.mean(clean, noise.std((0, 2, 3)))
            noisy = sensor.show(clean, noise)
            if chance(generator, self.filtered):
                noisy = filter_noise(wanted, noisy, level, generator)
            if chance(generator, self.averaged):
                wanted, noisy = average_over_time(wanted, noisy, level, generator)
        if chance(generator, self.sharpened):
            wanted, noisy = sharpen(wanted, noisy, generator)
        if chance(generator, self.enlarged):
            wanted, noisy = enlarge(wanted, noisy, generator)
        return wanted, noisy

    def _compressed(
        self, noisy: Tensor, form: PlaneFormat, generator: torch.Generator
    ) -> Planes:
        kind = uniform(generator, 0, 1)
        if kind < self.jpeg:
            quality = int(uniform(generator, 40, 97))
            return form.planes(through_jpeg(noisy, quality))
        kind -= self.jpeg
        if kind < self.h264:
            return through_codec(noisy, form, "h264", int(uniform(generator, 14, 35)))
        kind -= self.h264
        if kind < self.hevc:
            return through_codec(noisy, form, "hevc", int(uniform(generator, 14, 35)))
        return form.planes(noisy)
