"""Noise of the clips that INT8 is calibrated with: white, and uneven."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.channels import OPPONENT
from streamdenoise.imaging.noise import add_gaussian_noise, plane_sigmas
from streamdenoise.imaging.noise_profile import LEVELS, measured_profile, white_profile

LOWEST, HIGHEST = 0.25, 64.0
"""Noise levels that networks work with, in 8-bit levels."""


@dataclass(frozen=True, slots=True)
class WhiteNoise:
    """White noise in R, G and B."""

    level: float
    """Std in 8-bit levels."""

    def added(
        self, frame: Frame, rng: np.random.Generator
    ) -> tuple[Sequence[np.ndarray], np.ndarray]:
        """The noisy planes of a frame of 8 bits, RGB as three, and their profile.

        The profile ``(7,)`` float32 is in 8-bit levels, see `LEVELS`.
        """
        noisy = add_gaussian_noise(frame, self.level, rng).planes
        sigmas = plane_sigmas(
            *(self.level, frame.color, frame.width, frame.height, frame.pix_fmt)
        )
        if frame.pix_fmt == "rgb24":
            noisy = tuple(np.ascontiguousarray(noisy[0].transpose(2, 0, 1)))
            sigmas *= 3
        return noisy, white_profile(sigmas)


@dataclass(frozen=True, slots=True)
class UnevenNoise:
    """Noise with a level of its own in each plane and octave."""

    levels: tuple[float, ...]
    """Std of the noise of each of `LEVELS`, in 8-bit levels."""

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "UnevenNoise":
        """All levels are drawn alone, evenly on a logarithmic scale."""
        logs = rng.uniform(np.log(LOWEST), np.log(HIGHEST), len(LEVELS))
        return cls(tuple(float(level) for level in np.exp(logs)))

    def added(
        self, frame: Frame, rng: np.random.Generator
    ) -> tuple[Sequence[np.ndarray], np.ndarray]:
        """As `WhiteNoise.added`; of RGB, luma and color differences get the noise."""
        is_rgb = frame.pix_fmt == "rgb24"
        clean = 3 * [frame.planes[0][..., 0]] if is_rgb else list(frame.planes)
        noise = [self._of_plane(p, plane.shape, rng) for p, plane in enumerate(clean)]
        profile = measured_profile([plane[None] for plane in noise])
        if is_rgb:
            clean = list(frame.planes[0].transpose(2, 0, 1))
            noise = list(np.einsum("pc,phw->chw", OPPONENT, np.stack(noise)))
        noisy = [
            (plane + part).round().clip(0, 255).astype(np.uint8)
            for plane, part in zip(clean, noise, strict=True)
        ]
        return noisy, profile.clip(LOWEST, HIGHEST)

    def _of_plane(
        self, plane: int, shape: tuple[int, ...], rng: np.random.Generator
    ) -> np.ndarray:
        """White noise, amplified octave by octave."""
        levels = [
            level
            for (of, _), level in zip(LEVELS, self.levels, strict=True)
            if of == plane
        ]
        rows, columns = (np.abs(np.fft.fftfreq(n)) for n in shape)
        cycles = np.maximum(rows[:, None], columns[: shape[1] // 2 + 1])
        octave = np.where(cycles > 0.25, 0, np.where(cycles > 0.125, 1, 2))
        gain = np.array(levels)[octave.clip(max=len(levels) - 1)]
        white = np.fft.rfft2(rng.standard_normal(shape))
        return np.fft.irfft2(white * gain, shape).astype(np.float32)
