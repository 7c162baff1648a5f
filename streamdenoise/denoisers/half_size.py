"""A step at half size, for machines that are too slow for full size.

The network denoises the half-size version of a frame; detail that this cannot hold is
put back where it exceeds the noise (`streamdenoise.imaging.half_size`).
"""

from collections.abc import Sequence

import numpy as np

from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.step_runner import Step
from streamdenoise.imaging.half_size import halve, restore_detail


class HalfSizeStep:
    """A `Step` on full-size planes, of which the network sees half the size."""

    loss_db = 2.5
    """1 to 3 dB on clips and photographs of the training set; 3.5 at worst, where
    everything is fine texture."""

    def __init__(self, step: Step, noise: NoiseLevel, layout: str) -> None:
        """Wrap a step.

        Args:
            step: runs on the half-size planes.
            noise: its `fine_share` says how much of the noise is in the detail.
            layout: layout of the planes, ``yuv420`` or ``rgb``.
        """
        self._step = step
        self._layout = layout
        self._noise = noise

    @property
    def backend(self) -> str:
        return self._step.backend

    @property
    def notes(self) -> tuple[str, ...]:
        return self._step.notes

    def run(
        self,
        planes: Sequence[np.ndarray],
        noise_std: np.ndarray,
        strength: float,
        depth: int,
    ) -> tuple[np.ndarray, ...]:
        halves = [halve(plane) for plane in planes]
        # The mean of four pixels has half the noise.
        cleaned = self._step.run(halves, noise_std / 2, strength, depth)
        peak = (1 << depth) - 1
        stds = noise_std * (self._noise.fine_share * strength * peak)
        if self._layout == "rgb":  # stds of orthonormal mixtures of R, G and B
            stds = np.full(3, np.sqrt(np.square(stds).mean()))
        return tuple(
            restore_detail(clean, half, plane, float(std), peak)
            for clean, half, plane, std in zip(
                cleaned, halves, planes, stds, strict=True
            )
        )

    def reset(self) -> None:
        self._step.reset()

    def close(self) -> None:
        self._step.close()
