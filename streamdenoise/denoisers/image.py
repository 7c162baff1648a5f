"""The denoiser for networks of single images, which have no state."""

import math
from collections.abc import Sequence

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.arrays import ArrayAdapter
from streamdenoise.denoisers.bypass import ENTER_SIGMA
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.sample_range import SampleRange, engine_bits
from streamdenoise.denoisers.step_runner import StepRunner
from streamdenoise.denoisers.strength import Strength
from streamdenoise.frame import Frame, bit_depth
from streamdenoise.imaging.channels import (
    is_colorless,
    merge_channels,
    split_channels,
)
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
from streamdenoise.imaging.noise_profile import LEVELS
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
        noise: NoiseLevel | None = None,
        strength: Strength | None = None,
    ) -> None:
        """Assemble a denoiser; no engine is loaded before the first frame.

        Args:
            artifact: a model without state.
            loader: supplies engines for it; the denoiser closes it.
            noise: see `Denoiser`.
            strength: see `Denoiser`.
        """
        self.model = artifact.name
        self.layout = artifact.layout
        self._artifact = artifact
        self._noise = noise or NoiseLevel()
        self._strength = strength or Strength()
        self._step = StepRunner(artifact, loader)
        self._notes: dict[str, None] = {}
        self._arrays = ArrayAdapter(self.process)
        if self._noise.given and not artifact.takes_sigma:
            self._note(f"{artifact.name} takes no noise level: --sigma is ignored")

    @property
    def backend(self) -> str:
        """Name of the backend in use; empty before the first frame."""
        return self._step.backend

    @property
    def backend_notes(self) -> tuple[str, ...]:
        """Why other backends do not work, and how frames were converted."""
        return (*self._step.notes, *self._notes, *self._noise.notes)

    @property
    def sigma(self) -> float:
        """Noise level of the last frame as the network saw it, in 8-bit levels."""
        return self._noise.sigma

    @property
    def noise_levels(self) -> tuple[float, ...]:
        """Noise profile of the last frame in 8-bit levels, see `NoiseLevel.levels`."""
        return self._noise.levels

    @property
    def strength(self) -> float:
        """How strongly noise is removed, see `Denoiser`; may be set at any time."""
        return self._strength.total

    @strength.setter
    def strength(self, strength: float) -> None:
        self._strength.total = strength

    def __call__(self, image: np.ndarray, pix_fmt: str = "bgr24") -> np.ndarray:
        """Denoise one image that is held in an array; see `Denoiser.__call__`."""
        return self._arrays(np.asarray(image), pix_fmt)

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        """Load and run the engine before the first frame; see `Denoiser.prepare`."""
        is_rgb_of_video = self.layout == "rgb" and pix_fmt.startswith("yuv")
        depth = 8 if is_rgb_of_video else engine_bits(pix_fmt)
        planes = [np.zeros((height, width), np.uint8 if depth == 8 else np.uint16)]
        self._run(planes * (1 if self.layout == "gray" else 3), 0.1, depth)

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise one frame.

        Args:
            frame: any of `PIX_FMTS`.

        Returns:
            One frame of the same format, size and pts.
        """
        if not any(self._strength.factors):
            return [frame]
        if bit_depth(frame.pix_fmt) < 16:
            self._noise.gain = 1.0
            return [self._through_layout(frame)]
        (samples,) = frame.planes
        used = SampleRange.of(samples)
        self._noise.gain = used.gain(frame)
        narrowed = used.narrowed(samples)
        cleaned = self._through_layout(frame.with_planes((narrowed,)))
        restored = used.restored(samples, narrowed, cleaned.planes[0])
        return [frame.with_planes((restored,))]

    def flush(self) -> list[Frame]:
        """Frames still held back at the end of a stream: none."""
        return []

    def reset(self) -> None:
        """Nothing to forget: frames are denoised independently."""

    def close(self) -> None:
        """Free the engine; may be called again."""
        self._step.close()

    def _through_layout(self, frame: Frame) -> Frame:
        """A denoised frame, whose samples of 16 bits have `engine_bits` here."""
        if self.layout == "gray":
            return self._through_gray(frame)
        return self._through_rgb(frame)

    def _note(self, note: str) -> None:
        self._notes[note] = None

    def _note_gray(self) -> None:
        self._note(f"{self.model} works on gray: color was converted to gray")

    def _through_gray(self, frame: Frame) -> Frame:
        depth = engine_bits(frame.pix_fmt)
        peak = (1 << depth) - 1
        luma = frame.planes[0]
        about = (frame.color, frame.width, frame.height, frame.pix_fmt)
        share = plane_sigmas(1.0, *about)[0]
        is_rgb = luma.ndim == 3
        if is_rgb:
            if not is_colorless(luma):
                self._note_gray()
                share = float(np.linalg.norm(GRAY_WEIGHTS))
            luma = rgb_to_gray(luma)
        is_limited = len(frame.planes) > 1 and not frame.color.is_full_range
        if is_limited:
            luma = to_full_range(luma, depth)
            share /= LIMITED_SPAN
        noise_std = self._noise_std(frame, (luma,), peak, (share,))
        if not self._is_clean(noise_std):
            clean = self._run([luma], noise_std, depth)
            (luma,) = self._strength.mixed((luma,), clean)
        if is_limited:
            luma = to_limited_range(luma, depth)
        if is_rgb:
            return frame.with_planes((merge_channels(3 * [luma]),))
        if len(frame.planes) > 1:
            self._note_gray()
            return frame.with_planes(with_chroma((luma,), depth))
        return frame.with_planes((luma,))

    def _through_rgb(self, frame: Frame) -> Frame:
        depth = engine_bits(frame.pix_fmt)
        if frame.pix_fmt.startswith("gray"):
            return self._gray_through_rgb(frame, depth)
        is_video = len(frame.planes) == 3
        rgb = frame.planes[0]
        if is_video:
            if depth > 8:
                self._note(f"{self.model} sees video as RGB of 8 bits")
            rgb = yuv420_to_rgb(frame.planes, frame.color, depth)
        seen = 8 if is_video else depth
        peak = (1 << seen) - 1
        noise_std = self._noise_std(frame, (rgb,), peak, (1.0,) * 3)
        if self._is_clean(noise_std):
            return frame
        clean = merge_channels(self._run(split_channels(rgb), noise_std, seen))
        planes = (clean,)
        if is_video:
            planes = rgb_to_yuv420(clean, frame.color, depth)
        return frame.with_planes(self._strength.mixed(frame.planes, planes))

    def _gray_through_rgb(self, frame: Frame, depth: int) -> Frame:
        noise_std = self._noise_std(frame, frame.planes, (1 << depth) - 1, (1.0,))
        if self._is_clean(noise_std):
            return frame
        clean = luma_of(self._run(3 * frame.planes, noise_std, depth))
        return frame.with_planes(self._strength.mixed(frame.planes, (clean,)))

    def _noise_std(
        self,
        frame: Frame,
        planes: Sequence[np.ndarray],
        peak: int,
        white: Sequence[float],
    ) -> float:
        """The level of one image, of all its planes; see `NoiseLevel.update`."""
        self._noise.reset()
        self._noise.compare(frame)
        profile = self._noise.update(planes, peak, white, hidden=frame.hidden_noise)
        profile = self._strength.told(profile)
        told = self._artifact.told(profile)[: len(white)]
        return math.sqrt(float(np.square(told).mean()))

    def _is_clean(self, noise_std: float) -> bool:
        """Note the level of a frame; return whether the network has nothing to do."""
        self._noise.sigma = 255 * noise_std / self._noise.gain
        return self._artifact.takes_sigma and 255 * noise_std < ENTER_SIGMA

    def _run(
        self, planes: Sequence[np.ndarray], noise_std: float, depth: int
    ) -> tuple[np.ndarray, ...]:
        profile = np.full(len(LEVELS), noise_std, np.float32)
        return self._step.run(planes, profile, depth)
