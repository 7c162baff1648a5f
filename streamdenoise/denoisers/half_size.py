"""A step at half size, for machines that are too slow for full size.

The network denoises the half-size version of a frame; detail that this cannot hold is
put back where it exceeds the noise (`streamdenoise.imaging.half_size`).
"""

from collections.abc import Sequence

import numpy as np

from streamdenoise.denoisers.step_runner import Step, StepAround
from streamdenoise.imaging.half_size import halve, halved_profile, restore_detail
from streamdenoise.imaging.noise_profile import FINEST


class HalfSizeStep(StepAround):
    """A `Step` on full-size planes, of which the network sees half the size."""

    loss_db = 2.5
    """1 to 3 dB on clips and photographs of the training set; 3.5 at worst, where
    everything is fine texture."""

    def __init__(self, step: Step, layout: str) -> None:
        """Wrap a step.

        Args:
            step: runs on the half-size planes.
            layout: layout of the planes, ``yuv420`` or ``rgb``.
        """
        super().__init__(step)
        self._layout = layout

    def run(
        self,
        planes: Sequence[np.ndarray],
        profile: np.ndarray,
        depth: int,
    ) -> tuple[np.ndarray, ...]:
        halves = [halve(plane) for plane in planes]
        cleaned = self._step.run(halves, halved_profile(profile), depth)
        peak = (1 << depth) - 1
        stds = profile[list(FINEST)] * peak
        if self._layout == "rgb":  # stds of orthonormal mixtures of R, G and B
            stds = np.full(3, np.sqrt(np.square(stds).mean()))
        return tuple(
            restore_detail(clean, half, plane, float(std), peak)
            for clean, half, plane, std in zip(
                cleaned, halves, planes, stds, strict=True
            )
        )
