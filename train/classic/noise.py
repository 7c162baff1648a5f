"""Noise on still images, with an explicit ``torch.Generator``."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from streamdenoise.errors import ConfigError
from streamdenoise.imaging.added_noise import NoiseKind
from streamdenoise.imaging.color import rgb_to_gray

from ..degradation.draws import normal
from ..degradation.noise import Camera
from ..degradation.planes import Rgb

_CAMERA_BLOCK = 4
"""`Camera` makes coarse grain at a quarter of the size, so sides are multiples of 4."""
_GOLDEN = (5**0.5 - 1) / 2


# The kinds are those of `streamdenoise.imaging.added_noise.NoiseKind`, on batches of
# tensors. Their levels have one unit here, so that one range fits all.


def gaussian(clean: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """White noise of std `level`."""
    return clean + level * normal(clean.shape, generator)


def poisson(clean: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Shot noise whose std in white is `level`: white is ``1 / level**2`` photons."""
    photon = level.square().clamp(min=1e-8)
    return torch.poisson(clean.clamp(min=0) / photon, generator) * photon


def salt_pepper(clean: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Pixels that turn black or white in all channels; `level` is their share."""
    shape = (len(clean), 1, *clean.shape[2:])
    drawn = torch.rand(shape, generator=generator)
    noisy = torch.where(drawn < level / 2, torch.zeros(()), clean)
    return torch.where(drawn > 1 - level / 2, torch.ones(()), noisy)


def speckle(clean: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Multiplicative noise: its std is `level` times the brightness."""
    return clean * (1 + level * normal(clean.shape, generator))


def camera(clean: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of `train.degradation.noise.Camera`, of at most `level` at middle gray."""
    images = []
    for image, one in zip(clean, level.flatten().tolist(), strict=True):
        # H.264 needs more than one frame; without noise there is nothing to measure;
        # what changes the image, too, would be learned as noise.
        recipe = Camera(
            sigma_max=255 * one,
            clean=0.0,
            dark=0.0,
            h264=0.0,
            hevc=0.0,
            sharpened=0.0,
            enlarged=0.0,
        )
        height, width = image.shape[1:]
        padding = (0, -width % _CAMERA_BLOCK, 0, -height % _CAMERA_BLOCK)
        padded = F.pad(image[None], padding, mode="replicate")
        rgb = padded.expand(1, 3, *padded.shape[2:]).clone()
        (noisy,) = recipe(rgb, Rgb(), generator).noisy
        noisy = noisy[0, :, :height, :width]
        images.append(noisy if len(image) == 3 else _gray(noisy))
    return torch.stack(images)


def _gray(rgb: Tensor) -> Tensor:
    """``(3, H, W)`` to ``(1, H, W)``, as clean images are converted."""
    return torch.from_numpy(rgb_to_gray(rgb.permute(1, 2, 0).numpy()))[None]


NOISES: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    NoiseKind.GAUSSIAN: gaussian,
    NoiseKind.POISSON: poisson,
    NoiseKind.SALT_PEPPER: salt_pepper,
    NoiseKind.SPECKLE: speckle,
    "camera": camera,
}
"""Noise by its name in ``--noise``; levels are ``(N, 1, 1, 1)`` in [0, 1]."""


@dataclass(frozen=True, slots=True)
class ImageNoise:
    """The kind of noise and its level."""

    kind: str = "gaussian"
    sigma: tuple[float, float] = (25.0, 25.0)
    """Lowest and highest level in 8-bit levels; that of each image is drawn between."""
    clip: bool = True
    """Clip to [0, 1], as in files; published figures are without clipping."""

    def __post_init__(self) -> None:
        if self.kind not in NOISES:
            raise ConfigError(
                f"there is no noise {self.kind!r}; choose from {', '.join(NOISES)}"
            )
        low, high = self.sigma
        if not 0 <= low <= high <= 255 or high == 0:
            raise ConfigError(
                f"sigma {low:g}-{high:g} is not a range within 0 to 255 (8-bit "
                "levels); give --sigma 25, or 0-55; a std of 0.5 of full scale is 127.5"
            )

    @property
    def is_varied(self) -> bool:
        """Whether images have different levels."""
        return self.sigma[0] < self.sigma[1] or self.kind == "camera"

    def describe(self) -> str:
        """Describe the noise in words, for the report."""
        low, high = self.sigma
        level = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        if self.kind == "camera":
            return f"camera noise of level {level} at most, clipped"
        return (
            f"{self.kind} noise of level {level}, {'' if self.clip else 'not '}clipped"
        )

    def spread(self, first: int, count: int) -> Tensor:
        """Levels of test images, ``(N, 1, 1, 1)`` in [0, 1].

        They are evenly spread over any run of images (multiples of the golden ratio,
        Weyl 1916), so that means do not depend on chance.
        """
        low, high = (sigma / 255 for sigma in self.sigma)
        places = (torch.arange(first, first + count).double() + 0.5) * _GOLDEN % 1
        return (low + (high - low) * places).float()[:, None, None, None]

    def add(
        self,
        clean: Tensor,
        generator: torch.Generator,
        level: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Add noise to images.

        Args:
            clean: ``(N, C, H, W)``.
            generator: source of all randomness.
            level: level of each image, see `spread`; None draws them.

        Returns:
            The noisy images, and the noise std ``(N, 1, 1, 1)`` for networks that take
            it: the level of Gaussian noise, or the measured std of other noise.
        """
        if level is None:
            low, high = (sigma / 255 for sigma in self.sigma)
            shape = (len(clean), 1, 1, 1)
            level = low + (high - low) * torch.rand(shape, generator=generator)
        noisy = NOISES[self.kind](clean, level, generator)
        if self.clip:
            noisy = noisy.clamp(0, 1)
        noise_std = level
        if self.kind != "gaussian":
            noise_std = (noisy - clean).square().mean((1, 2, 3), keepdim=True).sqrt()
        return noisy, noise_std
