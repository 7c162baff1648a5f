"""Noise recipes for training, on RGB clips, with an explicit ``torch.Generator``.

Noise is drawn once for a clip and independently for each frame: a loader that drew it
anew for every window would show the network each frame under several noises, and one
that repeated it would hide that noise changes. Both are tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamdenoise.sigma import plane_std

# Luma weights of BT.709 (ITU-R BT.709-6, 3.2).
_KR, _KB = 0.2126, 0.0722
_RGB_TO_YUV = torch.tensor(
    [
        [_KR, 1 - _KR - _KB, _KB],
        [-0.5 * _KR / (1 - _KB), -0.5 * (1 - _KR - _KB) / (1 - _KB), 0.5],
        [0.5, -0.5 * (1 - _KR - _KB) / (1 - _KR), -0.5 * _KB / (1 - _KR)],
    ]
)


def _scale_offset(limited: bool) -> tuple[Tensor, Tensor]:
    scale = (219.0, 224.0, 224.0) if limited else (255.0, 255.0, 255.0)
    offset = (16.0 if limited else 0.0, 128.0, 128.0)
    return torch.tensor(scale) / 255, torch.tensor(offset) / 255


def rgb_to_planes(rgb: Tensor, limited: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Convert RGB to 8-bit yuv420 planes (BT.709), chroma averaged over 2x2.

    Args:
        rgb: ``(N, 3, H, W)`` in [0, 1], even sizes.
        limited: limited ("tv") range, else full.

    Returns:
        Y ``(N, 1, H, W)``, U and V ``(N, 1, H/2, W/2)``, multiples of 1/255.
    """
    scale, offset = _scale_offset(limited)
    matrix = (_RGB_TO_YUV * scale[:, None]).tolist()
    rows = (rgb[..., ::2, :] + rgb[..., 1::2, :]) * 0.5
    half = (rows[..., ::2] + rows[..., 1::2]) * 0.5
    planes = []
    # Sums of weighted channels: for three of them much faster than a convolution.
    for row, start, source in zip(
        matrix, offset.tolist(), (rgb, half, half), strict=True
    ):
        plane = source[:, :1] * row[0] + start
        plane += source[:, 1:2] * row[1]
        plane += source[:, 2:] * row[2]
        planes.append(plane.mul_(255).round_().clamp_(0, 255).div_(255))
    y, u, v = planes
    return y, u, v


def plane_sigmas(sigma: Tensor, limited: bool = True) -> Tensor:
    """Standard deviations in Y, U and V of independent RGB noise of std `sigma`.

    Args:
        sigma: ``(N,)``.

    Returns:
        ``(N, 3)``: rows of the matrix in quadrature; chroma halves by 2x2 averaging.
    """
    scale, _ = _scale_offset(limited)
    rows = _RGB_TO_YUV.square().sum(1).sqrt() * scale
    return sigma[:, None] * rows * torch.tensor([1.0, 0.5, 0.5])


class NoiseRecipe(Protocol):
    """Makes a noisy yuv420 clip and its plane sigmas from clean RGB."""

    @property
    def sigma_scales(self) -> tuple[int, ...]:
        """Scales at which the product is to estimate such noise."""
        ...

    def __call__(
        self, clean: Tensor, limited: bool, generator: torch.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Add noise.

        Args:
            clean: one clip ``(T, 3, H, W)`` in [0, 1].
            limited: range of the planes.
            generator: source of all randomness.

        Returns:
            Planes as `rgb_to_planes`, ``T`` long, and the sigmas ``(3,)`` in [0, 1]
            that a user or an estimator would tell.
        """
        ...


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Standard normal float32 samples; numpy draws them four times faster on a CPU."""
    seed = int(torch.randint(2**62, (), generator=generator))
    drawn = np.random.default_rng(seed).standard_normal(tuple(shape), np.float32)
    return torch.from_numpy(drawn)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


@dataclass(frozen=True, slots=True)
class Awgn:
    """White Gaussian noise in RGB, clipped and rounded to 8 bits: the `video` protocol.

    A part of the clips gets its noise in the planes instead, with levels of their own,
    so that the network does not count on RGB's fixed ratio of luma to chroma noise.
    """

    sigma_min: float = 1.0
    """Lowest std in 8-bit levels."""
    sigma_max: float = 55.0
    in_planes: float = 0.2
    """Share of clips with noise in the planes."""
    estimated: float = 0.4
    """Share of clips whose sigma is what the product's estimate says, not the true one.
    """

    @property
    def sigma_scales(self) -> tuple[int, ...]:
        return (1,)

    def __call__(
        self, clean: Tensor, limited: bool, generator: torch.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        sigma = _uniform(generator, self.sigma_min, self.sigma_max) / 255
        if _uniform(generator, 0, 1) >= self.in_planes:
            noise = normal(clean.shape, generator)
            noisy = (clean + sigma * noise).mul_(255).round_().clamp_(0, 255).div_(255)
            sigmas = plane_sigmas(torch.tensor([sigma]), limited)[0]
            planes = rgb_to_planes(noisy, limited)
            if _uniform(generator, 0, 1) < self.estimated:
                sigmas = _estimated(planes, self.sigma_scales, limited)
            return planes, sigmas
        sigmas = torch.tensor(
            [0.7 * sigma] + [sigma * _uniform(generator, 0.05, 0.8) for _ in "UV"]
        )
        planes = tuple(
            (plane + s * normal(plane.shape, generator))
            .mul_(255)
            .round_()
            .clamp_(0, 255)
            .div_(255)
            for plane, s in zip(rgb_to_planes(clean, limited), sigmas, strict=True)
        )
        return planes, sigmas


@dataclass(frozen=True, slots=True)
class Camera:
    """Noise of a small camera: shot and read noise in linear light, then its pipeline.

    Poisson-Gaussian noise in linear light (Foi et al. 2008, eq. 3) with white-balance
    gains, smeared as demosaicing and scaling smear it, then the tone curve, the
    camera's own noise filter, 8-bit clipping, and JPEG or H.264 in three clips of four.
    The told sigma is what the product's own estimate says of the noisy clip, or far
    off: texture and compression mislead every estimate from a plane alone, and the
    network must find the level itself.
    """

    sigma_max: float = 45.0
    """Highest std in 8-bit levels at middle grey, before smearing and compression."""
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
    """Share of clips that are told about what the product estimates, not a level that
    may be far off."""
    off: float = 1.5
    """By how many octaves the true std is told too high or too low, at most."""
    told_min: float = 0.25
    """Least level that is told, in 8-bit levels: below it the product does nothing."""

    @property
    def sigma_scales(self) -> tuple[int, ...]:
        return (1, 2)

    def __call__(
        self, clean: Tensor, limited: bool, generator: torch.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        gamma = 2.2
        linear = clean.clamp(min=1e-4) ** gamma
        # At middle grey (0.5 after the curve) the curve's slope turns linear-light std
        # into display std.
        grey = 0.5**gamma
        slope = (1 / gamma) * grey ** (1 / gamma - 1)
        level = _uniform(generator, 0.02, 1.0) ** 1.5 * self.sigma_max / 255
        if _uniform(generator, 0, 1) < self.clean:
            level = 0.0
        shot_share = _uniform(generator, 0.3, 0.98)
        gains = torch.tensor(
            [_uniform(generator, 0.8, 1.9), 1.0, _uniform(generator, 0.8, 1.9)]
        )[None, :, None, None]
        shot = shot_share * linear / grey + (1 - shot_share)
        std = (gains * shot).sqrt() * (level / slope)
        noise = normal(clean.shape, generator)
        if _uniform(generator, 0, 1) < self.smeared:
            noise = smear(noise, generator)
        noisy = (linear + noise * std).clamp(1e-6, 1) ** (1 / gamma)
        if _uniform(generator, 0, 1) < self.filtered:
            noisy = filter_noise(clean, noisy, level, generator)
        noisy = noisy.mul_(255).round_().clamp_(0, 255).div_(255)
        codec = _uniform(generator, 0, 1)
        if codec < self.jpeg:
            noisy = _jpeg(noisy, int(_uniform(generator, 60, 97)))
        planes = rgb_to_planes(noisy, limited)
        if self.jpeg <= codec < self.jpeg + self.h264:
            planes = _h264(planes, int(_uniform(generator, 14, 33)))
        if _uniform(generator, 0, 1) < self.estimated:
            told = _estimated(planes, self.sigma_scales, limited) * 2 ** _uniform(
                generator, -0.5, 0.5
            )
        else:
            pairs = zip(planes, rgb_to_planes(clean, limited), strict=True)
            true = torch.stack([(noisy - clean).std() for noisy, clean in pairs])
            told = true * 2 ** _uniform(generator, -self.off, self.off)
        return planes, told.clamp(min=self.told_min / 255)


def smear(noise: Tensor, generator: torch.Generator) -> Tensor:
    """Turn white noise ``(T, 3, H, W)`` into a mixture of fine and coarse grain.

    A Gaussian-blurred share, and shares at half and quarter size; in half of the clips
    colour is smeared more than light, as cameras do, and weakened. Else the power is 1.
    """
    fine = _correlate(noise, _uniform(generator, 0.25, 1.0))
    weights = [1.0, *(_uniform(generator, 0, 1.2) ** 2 for _ in range(2))]
    mixed = weights[0] * fine
    for scale, weight in zip((2, 4), weights[1:], strict=True):
        size = [n // scale for n in noise.shape[-2:]]
        coarse = normal((*noise.shape[:2], *size), generator)
        coarse = F.interpolate(coarse, scale_factor=scale, mode="bicubic")
        mixed = mixed + weight * coarse / coarse.std()
    mixed = mixed / sum(w * w for w in weights) ** 0.5
    if _uniform(generator, 0, 1) < 0.5:
        return mixed
    grey = mixed.mean(1, keepdim=True)
    colour = mixed - grey
    grain = 4 if _uniform(generator, 0, 1) < 0.5 else 2
    coarse = F.avg_pool2d(colour, grain)
    coarse = F.interpolate(coarse, scale_factor=grain, mode="bicubic")
    share = _uniform(generator, 0.3, 1.0)
    return grey + share * (colour.std() / coarse.std()) * coarse


def filter_noise(
    clean: Tensor, noisy: Tensor, level: float, generator: torch.Generator
) -> Tensor:
    """Leave of the noise what an edge-keeping filter and sharpening leave of it.

    Cameras' own filters take fine grain away and leave blotches and edges of noise,
    which no estimate from fine detail sees. The picture itself stays as sharp as it is,
    as nobody asks us to undo the filter.

    Args:
        clean: ``(T, 3, H, W)`` in [0, 1].
        noisy: the same with noise.
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
            _bilateral(dirty, tolerance, radius)
            - _bilateral(picture, tolerance, radius)
            for dirty, picture in zip(noisy, clean, strict=True)
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


def _estimated(
    planes: tuple[Tensor, ...], scales: Sequence[int], limited: bool
) -> Tensor:
    """What `SigmaEstimator` would say of the planes of a clip."""
    told = []
    for plane in planes:
        arrays = (
            plane[:: max(1, len(plane) // 3), 0]
            .mul(255)
            .round()
            .clamp(0, 255)
            .byte()
            .numpy()
        )
        variances = [
            plane_std(array, 255, scales, not limited) ** 2 for array in arrays
        ]
        told.append(float(np.sqrt(np.mean(variances))))
    return torch.tensor(told)


def _correlate(noise: Tensor, radius: float) -> Tensor:
    """Blur noise by a Gaussian of std `radius` pixels, keeping its power."""
    taps = torch.exp(-0.5 * (torch.arange(-2, 3) / radius) ** 2)
    kernel = taps[:, None] * taps[None, :]
    kernel = kernel / kernel.square().sum().sqrt()
    weight = kernel[None, None].expand(3, 1, 5, 5)
    return F.conv2d(F.pad(noise, (2, 2, 2, 2), "reflect"), weight, groups=3)


def _jpeg(clip: Tensor, quality: int) -> Tensor:
    frames = clip.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    decoded = []
    for frame in frames:
        ok, data = cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]), options)
        if not ok:
            raise RuntimeError(f"JPEG encoding of a {frame.shape} frame failed")
        decoded.append(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(decoded)))
    return stacked.permute(0, 3, 1, 2).float().div_(255)


def _h264(planes: tuple[Tensor, ...], crf: int) -> tuple[Tensor, ...]:
    """Compress yuv420 planes ``(T, 1, H, W)`` as cameras do: one key frame, no B."""
    levels = [plane[:, 0].mul(255).round().byte().numpy() for plane in planes]
    length, height, width = levels[0].shape
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"preset": "veryfast", "crf": str(crf), "tune": "zerolatency"}
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = []
    for t in [*range(length), None]:
        frame = None
        if t is not None:
            i420 = np.concatenate([plane[t].ravel() for plane in levels])
            picture = i420.reshape(height * 3 // 2, width)
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts = t
        for packet in encoder.encode(frame):
            frames += decoder.decode(packet)
    frames += decoder.decode(None)
    if len(frames) != length:
        raise RuntimeError(f"H.264 gave {len(frames)} of {length} frames back")
    decoded = np.stack([frame.to_ndarray() for frame in frames]).reshape(length, -1)
    luma = height * width
    parts = np.split(decoded, [luma, luma * 5 // 4], axis=1)
    return tuple(
        torch.from_numpy(part.reshape(-1, *level.shape[1:])[:, None].copy())
        .float()
        .div_(255)
        for part, level in zip(parts, levels, strict=True)
    )
