"""Denoising at half the size: what a machine can do that is too slow for the whole.

A picture is split into its half-size version and the detail that this cannot hold. The
network cleans the former. Of the detail, each place keeps the share that is more than
noise by its energy (a local Wiener filter; Lee, "Digital image enhancement and noise
filtering by use of local statistics", PAMI 1980), so that edges and texture stay and
flat areas are as clean as the network made them.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.noise_level import NoiseEstimator
from streamdenoise.inference.artifact import Artifact

_AROUND = (3, 3)
"""Pixels of the half-size picture that the energy of detail is averaged over."""
_LOSS_DB = 2.5
"""What it costs of the PSNR: 1 to 3 dB on clips and photographs for training, 3.5 at
worst, where all is fine texture."""


class HalfSizeDenoiser(Denoiser):
    """Cleans whole frames like a `Denoiser`, the network seeing half their size."""

    def __init__(self, artifact: Artifact, **options: Any) -> None:
        """See `Denoiser`."""
        super().__init__(artifact, **options)
        self._fine_estimator = NoiseEstimator()
        self._fine_share = 1.0

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        """See `Denoiser`; less what half size costs."""
        estimate = super().psnr_estimate
        if estimate is None or self.strength == 0:
            return estimate
        noisy, clean = estimate
        return noisy, max(noisy, clean - _LOSS_DB)

    def _forget_scene(self) -> None:
        super()._forget_scene()
        self._fine_estimator.reset()

    def _sigmas(
        self, planes: Sequence[np.ndarray], peak: int, color: ColorInfo
    ) -> np.ndarray:
        sigmas = super()._sigmas(planes, peak, color)
        if self._told is None and sigmas[0] > 0:
            # Noise that is smooth over some pixels is not in the detail.
            full_range = len(planes) == 1 or color.range == 2
            fine = self._fine_estimator.update(planes[:1], peak, full_range)
            self._fine_share = float(min(1, fine[0] / sigmas[0]))
        return sigmas

    def _step(
        self, planes: Sequence[np.ndarray], sigmas: np.ndarray, depth: int
    ) -> tuple[np.ndarray, ...]:
        halves = [_half(plane) for plane in planes]
        # The mean of four pixels has half the noise.
        cleaned = super()._step(halves, sigmas / 2, depth)
        peak = (1 << depth) - 1
        stds = sigmas * (self._fine_share * self.strength * peak)
        if self.layout == "rgb":  # orthonormal mixtures of R, G and B
            stds = np.full(3, np.sqrt(np.square(stds).mean()))
        return tuple(
            _with_detail(clean, half, plane, float(std), peak)
            for clean, half, plane, std in zip(
                cleaned, halves, planes, stds, strict=True
            )
        )


def _with_detail(
    clean: np.ndarray, half: np.ndarray, plane: np.ndarray, std: float, peak: int
) -> np.ndarray:
    """`clean` enlarged, and what of the detail of `plane` is no noise of `std`."""
    detail = cv2.subtract(plane, _enlarged(half, plane), dtype=cv2.CV_32F)
    energy = cv2.blur(_half(cv2.multiply(detail, detail)), _AROUND)
    signal = np.maximum(energy - np.float32(std**2), 0)
    share = signal / np.maximum(energy, np.float32(1e-6))
    kept = cv2.multiply(detail, _enlarged(share, plane, cv2.INTER_LINEAR))
    dtype = cv2.CV_8U if peak == 255 else cv2.CV_16U
    whole = cv2.add(_enlarged(clean, plane), kept, dtype=dtype)
    return whole if peak == 255 else np.minimum(whole, peak)


def _half(plane: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels; the last row and column of odd sizes count twice."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = cv2.copyMakeBorder(
            plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE
        )
    size = ((width + 1) // 2, (height + 1) // 2)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def _enlarged(
    half: np.ndarray, like: np.ndarray, interpolation: int = cv2.INTER_CUBIC
) -> np.ndarray:
    """`half` at the size of `like`."""
    size = (2 * half.shape[1], 2 * half.shape[0])
    height, width = like.shape
    return cv2.resize(half, size, interpolation=interpolation)[:height, :width]
