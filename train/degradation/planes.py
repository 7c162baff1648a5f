"""RGB as the planes of each layout of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamdenoise.imaging.channels import OPPONENT
from streamdenoise.imaging.color import yuv_from_rgb
from streamdenoise.imaging.noise_profile import LEVELS, measured_profile
from streamdenoise.imaging.profile_estimator import profile_of_clip

_BT709 = 1
"""Matrix of all training clips, whatever their size: the shipped weights know no other.
"""

_SEEN = 3
"""Frames at the end of a clip that the noise is estimated from; each costs 10 ms."""

Planes = tuple[Tensor, ...]


class PlaneFormat(Protocol):
    """The planes of one layout of the network."""

    def planes(self, rgb: Tensor) -> Planes:
        """Convert RGB to planes of 8 bits.

        Args:
            rgb: ``(N, 3, H, W)``, multiples of 1/255, even sizes.

        Returns:
            Planes for `streamdenoise.network.packing.pack`, multiples of 1/255.
        """
        ...

    def noise_stds(self, noise_std: Tensor) -> Tensor:
        """Noise levels in the planes of independent noise in R, G and B.

        Args:
            noise_std: ``(N,)`` std in R, G and B, in [0, 1].

        Returns:
            ``(N, 3)``, for `streamdenoise.network.packing.packed_noise_std`.
        """
        ...

    def gray_noise_stds(self, noise_std: float) -> Tensor:
        """Noise levels ``(3,)`` of noise that is the same in R, G and B."""
        ...

    def white(self, stds: Tensor) -> Tensor:
        """The noise profile ``(7,)`` of white noise of these levels ``(3,)``."""
        ...

    def measured(self, noise: Planes) -> Tensor:
        """The noise profile ``(7,)`` of planes that contain only noise."""
        ...

    def estimate(self, planes: Planes) -> Tensor:
        """The noise profile ``(7,)`` that the product would estimate for a clip."""
        ...


class _Profiles:
    """What all formats do with noise profiles."""

    def white(self, stds: Tensor) -> Tensor:
        return stds[[plane for plane, _ in LEVELS]]


@dataclass(frozen=True, slots=True)
class Yuv420(_Profiles):
    """BT.709 planes Y ``(N, 1, H, W)``, U and V ``(N, 1, H/2, W/2)``.

    Chroma is averaged over 2x2; see `PlaneFormat`.
    """

    limited: bool = True
    """Limited ("tv") range; otherwise full."""

    def _weights_offset(self) -> tuple[Tensor, Tensor]:
        """YUV from RGB, both in [0, 1]: weights ``(3, 3)`` and offsets ``(3,)``."""
        matrix = torch.tensor(yuv_from_rgb(_BT709, not self.limited)).float()
        return matrix[:, :3], matrix[:, 3] / 255

    def planes(self, rgb: Tensor) -> Planes:
        weights, offset = self._weights_offset()
        rows = (rgb[..., ::2, :] + rgb[..., 1::2, :]) * 0.5
        half = (rows[..., ::2] + rows[..., 1::2]) * 0.5
        planes = []
        # For three channels weighted sums are much faster than a convolution.
        for row, start, source in zip(
            weights.tolist(), offset.tolist(), (rgb, half, half), strict=True
        ):
            plane = source[:, :1] * row[0] + start
            plane += source[:, 1:2] * row[1]
            plane += source[:, 2:] * row[2]
            planes.append(to_8_bits(plane))
        return tuple(planes)

    def rgb(self, planes: Planes) -> Tensor:
        """Convert to RGB ``(N, 3, H, W)`` of 8 bits; chroma is interpolated."""
        weights, offset = self._weights_offset()
        luma, *chroma = planes
        size = list(luma.shape[-2:])
        full = [F.interpolate(plane, size, mode="bilinear") for plane in chroma]
        yuv = torch.cat([luma, *full], 1) - offset[:, None, None]
        return to_8_bits(_mix(weights.inverse(), yuv))

    def noise_stds(self, noise_std: Tensor) -> Tensor:
        # Rows of the matrix in quadrature; the chroma is averaged over 2x2.
        rows = self._weights_offset()[0].norm(dim=1)
        return noise_std[:, None] * rows * torch.tensor([1.0, 0.5, 0.5])

    def gray_noise_stds(self, noise_std: float) -> Tensor:
        # The same noise in R, G and B adds up linearly, and to zero in the chroma.
        luma = float(self._weights_offset()[0][0].sum())
        return torch.tensor([noise_std * luma, 0.0, 0.0])

    def measured(self, noise: Planes) -> Tensor:
        return torch.from_numpy(measured_profile([x[:, 0].numpy() for x in noise]))

    def estimate(self, planes: Planes) -> Tensor:
        levels = [_levels(plane[-_SEEN:, 0]) for plane in planes]
        return _estimate(list(zip(*levels, strict=True)), not self.limited)


@dataclass(frozen=True, slots=True)
class Rgb(_Profiles):
    """RGB ``(N, 3, H, W)``, see `PlaneFormat`; its levels are of opponent colors."""

    def planes(self, rgb: Tensor) -> Planes:
        return (rgb,)

    def noise_stds(self, noise_std: Tensor) -> Tensor:
        return noise_std[:, None].expand(-1, 3)

    def gray_noise_stds(self, noise_std: float) -> Tensor:
        # All of it is in the luma, whose row of `OPPONENT` has unit length.
        return torch.tensor([3**0.5 * noise_std, 0.0, 0.0])

    def measured(self, noise: Planes) -> Tensor:
        mixed = _mix(torch.from_numpy(OPPONENT), noise[0])
        return torch.from_numpy(measured_profile([x.numpy() for x in mixed.unbind(1)]))

    def estimate(self, planes: Planes) -> Tensor:
        levels = _levels(planes[0][-_SEEN:].permute(0, 2, 3, 1))
        return _estimate([(frame,) for frame in levels], full_range=True)


def plane_format(layout: str, limited: bool = True) -> PlaneFormat:
    """The planes of a layout; `limited` is for yuv420."""
    return Rgb() if layout == "rgb" else Yuv420(limited)


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", matrix, channels)


def to_8_bits(x: Tensor) -> Tensor:
    """Round to multiples of 1/255 and clip to [0, 1], in place."""
    return x.mul_(255).round_().clamp_(0, 255).div_(255)


def _levels(samples: Tensor) -> np.ndarray:
    """Samples in [0, 1] as 8-bit levels."""
    return np.ascontiguousarray(samples.mul(255).round().byte().numpy())


def _estimate(frames: Sequence[Sequence[np.ndarray]], full_range: bool) -> Tensor:
    return torch.from_numpy(profile_of_clip(frames, 255, full_range))
