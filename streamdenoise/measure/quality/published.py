"""The published protocol: noise in floating-point RGB, neither clipped nor rounded.

It is that of Tassano and others, "FastDVDnet: toward real-time deep video denoising
without flow estimation", CVPR 2020, and of later papers: white Gaussian noise of a
known sigma in R, G and B, independent for each frame; MSE of each frame over R, G and
B; PSNR of each frame; mean over the frames, then over the clips.

Models for RGB take the noisy frames as they are. For models for yuv420 the frames are
converted to full-range BT.709 planes in floating point, neither clipped nor rounded,
which the model's ONNX graph takes. After the way back to RGB at full size, the chroma
detail that 4:2:0 cannot hold is restored, as `Denoiser` does for images. The graph
itself rounds its planes to 8 bits, which costs about 0.02 dB at 37 dB.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.color import (
    detail_to_keep,
    rgb_to_yuv420_exact,
    yuv420_to_rgb_exact,
)
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_profile import white_profile
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.config import EvalConfig

_COLOR = ColorInfo(matrix=1, range=2)
_PEAK = 255


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """The model with known sigma on one clip."""

    clip: str
    sigma: float
    """Std of the noise in RGB, in 8-bit levels."""
    psnr_noisy: float
    """RGB PSNR of the input, not clipped, in dB."""
    psnr: float
    """RGB PSNR of the output in dB."""


def add_unclipped_noise(
    rgb: np.ndarray, sigma: float, rng: np.random.Generator
) -> np.ndarray:
    """Add white Gaussian noise without clipping to [0, 255].

    Call it once for each frame of a clip, with one generator.

    Args:
        rgb: ``(H, W, 3)`` ``uint8``.
        sigma: Std of the noise in 8-bit levels.
        rng: Source of all randomness.

    Returns:
        ``(H, W, 3)`` ``float32`` in 8-bit levels.
    """
    return rgb + np.float32(sigma) * rng.standard_normal(rgb.shape, np.float32)


def open_published(
    artifact: Artifact, height: int, width: int, threads: int | None
) -> Any:
    """Load the ONNX Runtime backend, the only one that takes planes in floating point.

    Raises:
        ConfigError: The model works on gray.
        BackendUnavailableError: ONNX Runtime or the model's ONNX file is missing.
    """
    if artifact.layout == "gray":
        raise ConfigError(
            f"model {artifact.name} works on gray; the published protocol needs a "
            "yuv420 or rgb model"
        )
    return load_backend(
        StepRequest("onnxruntime", artifact, height, width, threads=threads)
    )


class FloatDenoiser:
    """A model with known sigma on the floating-point RGB frames of one clip.

    It follows motion as `Denoiser` does, but does not detect scene cuts.
    """

    def __init__(
        self,
        artifact: Artifact,
        height: int,
        width: int,
        sigma: float,
        threads: int | None = None,
    ) -> None:
        """Load it.

        Args:
            artifact: A yuv420 or rgb model.
            height: Frame height in pixels; any size.
            width: Frame width in pixels; any size.
            sigma: Std of the noise in RGB, in 8-bit levels.
            threads: CPU threads; None lets the runtime choose.

        Raises:
            ConfigError: See `open_published`.
            BackendUnavailableError: See `open_published`.
        """
        multiple = artifact.multiple
        self._missing = ((0, -height % multiple), (0, -width % multiple), (0, 0))
        self._engine = open_published(
            artifact, height + -height % multiple, width + -width % multiple, threads
        )
        self._motion = MotionFollower()
        self._sigma = sigma
        self._is_rgb = artifact.layout == "rgb"
        sigmas = (
            3 * (sigma,) if self._is_rgb else plane_sigmas(sigma, _COLOR, width, height)
        )
        self._noise_std = artifact.told(white_profile(sigmas)) / np.float32(_PEAK)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Denoise the next frame.

        Args:
            rgb: ``(H, W, 3)`` ``float32`` in 8-bit levels, of any value.

        Returns:
            An array of the same shape and type, clipped to [0, 255].
        """
        height, width, _ = rgb.shape
        rgb = np.pad(rgb, self._missing, mode="edge")
        if self._is_rgb:
            planes = self._step([*rgb.transpose(2, 0, 1)])
            restored = np.stack(planes, 2).astype(np.float32)
        else:
            planes = rgb_to_yuv420_exact(rgb, _COLOR)
            cleaned = self._step(planes)
            exact = tuple(plane.astype(np.float32) for plane in cleaned)
            kept = detail_to_keep(rgb, yuv420_to_rgb_exact(planes, _COLOR), self._sigma)
            restored = yuv420_to_rgb_exact(exact, _COLOR) + kept
        return restored[:height, :width].clip(0, _PEAK)

    def _step(self, planes: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        rounded = [plane.round().clip(0, _PEAK).astype(np.uint8) for plane in planes]
        flow = self._motion.flow(rounded, _PEAK)
        if flow is not None:
            self._engine.warp(flow)
        cleaned = self._engine.step(planes, self._noise_std)
        self._motion.remember(cleaned)
        return cleaned

    def close(self) -> None:
        """Free the runtime; may be called any number of times."""
        self._engine.close()


def measure_published(
    config: EvalConfig,
    artifact: Artifact,
    paths: Sequence[Path],
    sigmas: Sequence[float],
    on_progress: Callable[[str], None],
) -> list[PublishedScore]:
    """Measure the model on every clip at every level.

    Args:
        config: Frames, threads, seed.
        artifact: A yuv420 or rgb model.
        paths: Clean clips, read as RGB.
        sigmas: Noise levels in 8-bit levels.
        on_progress: Called with progress messages.

    Raises:
        BackendUnavailableError: See `open_published`.
        SourceError: A clip does not decode.
    """
    scores = []
    for path in paths:
        clean = [f.planes[0] for f in read_clip(path, config.frames, "rgb24")]
        height, width, _ = clean[0].shape
        for sigma in sigmas:
            on_progress(f"published, sigma {sigma:g}: {path.name}")
            rng = np.random.default_rng(config.seed)
            denoiser = FloatDenoiser(artifact, height, width, sigma, config.threads)
            inputs, outputs = [], []
            for frame in clean:
                noisy = add_unclipped_noise(frame, sigma, rng)
                inputs.append(psnr_db(frame, noisy, _PEAK))
                outputs.append(psnr_db(frame, denoiser(noisy), _PEAK))
            denoiser.close()
            scores.append(
                PublishedScore(
                    path.stem, sigma, float(np.mean(inputs)), float(np.mean(outputs))
                )
            )
    return sorted(scores, key=lambda score: sigmas.index(score.sigma))
