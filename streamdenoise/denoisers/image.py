"""The denoiser for networks of single images, which have no state."""

import math
from collections.abc import Sequence

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.arrays import ArrayAdapter
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.step_runner import StepRunner
from streamdenoise.frame import Frame, bit_depth
from streamdenoise.imaging.channels import merge_channels, split_channels
from streamdenoise.imaging.color import (
    GRAY_WEIGHTS,
    rgb_to_gray,
    rgb_to_yuv420,
    with_chroma,
    yuv420_to_rgb,
)
from streamdenoise.imaging.luma_range import (
    LIMITED_SPAN,
    to_full_range,
    to_limited_range,
)
from streamdenoise.imaging.motion import luma_of
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_level import opponent_noise_stds, plane_noise_std
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.engine_loader import Loader


class ImageDenoiser(Closing):
    """Denoises each frame independently.

    Networks of gray see the luma of color, and return gray. Networks of RGB see video
    as RGB of 8 bits.

    Attributes:
        model: name of the model.
        layout: ``gray`` or ``rgb``.
        psnr_estimate: always None: the gain of these networks is not known.
        load_step: always empty, see `Denoiser`.
    """

    load_step = ""
    psnr_estimate = None

    def __init__(
        self,
        artifact: Artifact,
        loader: Loader,
        *,
        sigma: float | str = "auto",
        strength: float = 1.0,
    ) -> None:
        """Assemble a denoiser; no engine is loaded before the first frame.

        Args:
            artifact: a model without state.
            loader: supplies engines for it; the denoiser closes it.
            sigma: see `Denoiser.load`.
            strength: see `Denoiser.load`.

        Raises:
            ConfigError: an option is out of range.
        """
        self.model = artifact.name
        self.layout = artifact.layout
        self._takes_sigma = artifact.takes_sigma
        self._scales = artifact.sigma_scales
        self._noise = NoiseLevel(sigma, strength)
        self._step = StepRunner(artifact, loader)
        self._notes: dict[str, None] = {}
        self._arrays = ArrayAdapter(self.process)
        if self._noise.given is not None and not artifact.takes_sigma:
            self._note(f"{artifact.name} takes no noise level: --sigma is ignored")

    @property
    def backend(self) -> str:
        """Name of the backend in use; empty before the first frame."""
        return self._step.backend

    @property
    def backend_notes(self) -> tuple[str, ...]:
        """Why other backends do not work, and how frames were converted."""
        return (*self._step.notes, *self._notes)

    @property
    def sigma(self) -> float:
        """Noise level of the last frame as the network saw it, in 8-bit levels."""
        return self._noise.sigma

    @property
    def strength(self) -> float:
        """Factor on the noise level, see `Denoiser.load`; may be set at any time."""
        return self._noise.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._noise.strength = strength

    def __call__(self, image: np.ndarray, pix_fmt: str = "bgr24") -> np.ndarray:
        """Denoise one image that is held in an array; see `Denoiser.__call__`."""
        return self._arrays(np.asarray(image), pix_fmt)

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        """Load and run the engine before the first frame; see `Denoiser.prepare`."""
        is_rgb_of_video = self.layout == "rgb" and pix_fmt.startswith("yuv")
        depth = 8 if is_rgb_of_video else bit_depth(pix_fmt)
        planes = [np.zeros((height, width), np.uint8 if depth == 8 else np.uint16)]
        self._run(planes * (1 if self.layout == "gray" else 3), 0.1, depth)

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise one frame.

        Args:
            frame: any of `PIX_FMTS`.

        Returns:
            One frame of the same format, size and pts.
        """
        if self.strength == 0:
            return [frame]
        if self.layout == "gray":
            return [self._through_gray(frame)]
        return [self._through_rgb(frame)]

    def flush(self) -> list[Frame]:
        """Frames still held back at the end of a stream: none."""
        return []

    def reset(self) -> None:
        """Nothing to forget: frames are denoised independently."""

    def close(self) -> None:
        """Free the engine; may be called again."""
        self._step.close()

    def _note(self, note: str) -> None:
        self._notes[note] = None

    def _note_gray(self) -> None:
        self._note(f"{self.model} works on gray: color was converted to gray")

    def _through_gray(self, frame: Frame) -> Frame:
        depth = bit_depth(frame.pix_fmt)
        peak = (1 << depth) - 1
        luma = frame.planes[0]
        about = (frame.color, frame.width, frame.height, frame.pix_fmt)
        share = plane_sigmas(1.0, *about)[0]
        if frame.pix_fmt == "rgb24":
            if (luma != luma[..., :1]).any():
                self._note_gray()
                share = float(np.linalg.norm(GRAY_WEIGHTS))
            luma = rgb_to_gray(luma)
        is_limited = len(frame.planes) > 1 and not frame.color.is_full_range
        if is_limited:
            luma = to_full_range(luma, depth)
            share /= LIMITED_SPAN
        given = self._noise.given
        noise_std = (
            plane_noise_std(luma, peak, self._scales, full_range=True)
            if given is None
            else share * given / 255
        )
        if not self._is_clean(noise_std):
            (luma,) = self._run([luma], noise_std, depth)
        if is_limited:
            luma = to_limited_range(luma, depth)
        if frame.pix_fmt == "rgb24":
            return frame.with_planes((merge_channels(3 * [luma]),))
        if len(frame.planes) > 1:
            self._note_gray()
            return frame.with_planes(with_chroma((luma,), depth))
        return frame.with_planes((luma,))

    def _through_rgb(self, frame: Frame) -> Frame:
        depth = bit_depth(frame.pix_fmt)
        if frame.pix_fmt.startswith("gray"):
            return self._gray_through_rgb(frame, depth)
        is_video = len(frame.planes) == 3
        rgb = frame.planes[0]
        if is_video:
            if depth > 8:
                self._note(f"{self.model} sees video as RGB of 8 bits")
            rgb = yuv420_to_rgb(frame.planes, frame.color, depth)
        given = self._noise.given
        noise_std = (
            _rms(opponent_noise_stds(rgb, self._scales))
            if given is None
            else given / 255
        )
        if self._is_clean(noise_std):
            return frame
        clean = merge_channels(self._run(split_channels(rgb), noise_std, 8))
        if is_video:
            return frame.with_planes(rgb_to_yuv420(clean, frame.color, depth))
        return frame.with_planes((clean,))

    def _gray_through_rgb(self, frame: Frame, depth: int) -> Frame:
        given, peak = self._noise.given, (1 << depth) - 1
        noise_std = (
            plane_noise_std(frame.planes[0], peak, self._scales, full_range=True)
            if given is None
            else given / 255
        )
        if self._is_clean(noise_std):
            return frame
        return frame.with_planes(
            (luma_of(self._run(3 * frame.planes, noise_std, depth)),)
        )

    def _is_clean(self, noise_std: float) -> bool:
        """Note the level of a frame; return whether the network has nothing to do."""
        self._noise.sigma = 255 * noise_std
        return self._takes_sigma and self._noise.is_negligible(noise_std)

    def _run(
        self, planes: Sequence[np.ndarray], noise_std: float, depth: int
    ) -> tuple[np.ndarray, ...]:
        stds = np.full(len(planes), noise_std, np.float32)
        return self._step.run(planes, stds, self.strength, depth)


def _rms(values: np.ndarray) -> float:
    return math.sqrt(float(np.square(values).mean()))
