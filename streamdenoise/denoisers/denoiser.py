"""The denoiser of video: frames in, clean frames out, state in between."""

import logging
import math
from collections.abc import Sequence

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.arrays import ArrayAdapter
from streamdenoise.denoisers.half_size import HalfSizeStep
from streamdenoise.denoisers.noise_level import NEGLIGIBLE_SIGMA, NoiseLevel
from streamdenoise.denoisers.step_runner import Step, StepRunner
from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo, Frame, bit_depth
from streamdenoise.imaging.channels import merge_channels, split_channels
from streamdenoise.imaging.color import (
    detail_to_keep,
    rgb_to_yuv420,
    with_chroma,
    yuv420_to_rgb,
)
from streamdenoise.imaging.motion import luma_of
from streamdenoise.imaging.scene_cut import SceneCutDetector
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import OnBuild
from streamdenoise.inference.engine_loader import EngineLoader, Loader

log = logging.getLogger(__name__)

_OWN_COLOR = ColorInfo(matrix=1, range=2)
"""Color of RGB frames that go through a network of yuv420: BT.709, full range."""


class Denoiser(Closing):
    """Denoises a stream frame by frame; not thread-safe.

    Attributes:
        model: name of the model.
        layout: planes that the model works on: ``yuv420`` for all frames, or ``rgb``
            for rgb24 and gray frames.
        scene_cuts: how many times a cut has reset the state.
        load_step: always empty: this denoiser never reduces quality to keep up.
    """

    load_step = ""

    def __init__(
        self,
        artifact: Artifact,
        loader: Loader,
        *,
        sigma: float | str = "auto",
        strength: float = 1.0,
        half_size: bool = False,
    ) -> None:
        """Assemble a denoiser; no engine is loaded before the first frame.

        Args:
            artifact: the model.
            loader: supplies engines for it; the denoiser closes it.
            sigma: see `load`.
            strength: see `load`.
            half_size: whether the network sees frames at half size, see `HalfSizeStep`.

        Raises:
            ConfigError: an option is out of range, or the model is not for video.
        """
        if not artifact.state_names:
            raise ConfigError(
                f"model {artifact.name} is for single images: run it with "
                "`streamdenoise image`, `file` or `live` (without --max-lag), or "
                "choose nano"
            )
        if artifact.layout == "gray":
            raise ConfigError(
                f"model {artifact.name} works on gray; choose one for yuv420 or rgb"
            )
        self.model = artifact.name
        self.layout = artifact.layout
        self.scene_cuts = 0
        self._gains_db: dict[str, float] = artifact.manifest.get("psnr_gain_db", {})
        self._noise = NoiseLevel(
            sigma,
            strength,
            scales=artifact.sigma_scales,
            measure_fine_share=half_size,
        )
        self._step: Step = StepRunner(artifact, loader)
        if half_size:
            self._step = HalfSizeStep(self._step, self._noise, artifact.layout)
        self._scene = SceneCutDetector()
        self._stream: tuple[str, int, int] | None = None
        self._arrays = ArrayAdapter(self.process)

    @classmethod
    def load(
        cls,
        model: str = "nano",
        *,
        backend: str = "auto",
        sigma: float | str = "auto",
        strength: float = 1.0,
        threads: int | None = None,
        tile: int | None = None,
        wait_for_engine: bool = True,
        on_build: OnBuild | None = None,
    ) -> "Denoiser":
        """Load a model.

        Args:
            model: name of a shipped model, or path of an exported one's ``.json``.
            backend: a name of `BACKENDS`, or ``"auto"`` for the first that works.
            sigma: noise std of RGB in 8-bit levels, or ``"auto"`` to estimate it.
            strength: factor on the noise level, 0 to 4: 0 returns the input bit for
                bit, 1 is neutral.
            threads: CPU threads of the backend; None lets the runtime choose. The
                search for motion uses OpenCV's, see `cv2.setNumThreads`.
            tile: largest side of the tiles that frames are processed in, in pixels, to
                save memory; the result is the same. None takes whole frames.
            wait_for_engine: see `wait` of `EngineLoader`.
            on_build: see `EngineLoader`.

        Raises:
            ConfigError: an option is out of range, or no such model exists.
            BackendUnavailableError: the named backend does not work here.
        """
        artifact = open_artifact(model)
        loader = EngineLoader(
            artifact,
            backend=backend,
            threads=threads,
            tile=tile,
            wait=wait_for_engine,
            on_build=on_build,
        )
        denoiser = cls(artifact, loader, sigma=sigma, strength=strength)
        loader.check()
        return denoiser

    @property
    def backend(self) -> str:
        """Name of the backend in use; empty before the first frame."""
        return self._step.backend

    @property
    def backend_notes(self) -> tuple[str, ...]:
        """Why backends that ``auto`` tried first do not work here."""
        return self._step.notes

    @property
    def sigma(self) -> float:
        """Noise level of the last frame in 8-bit levels, see `NoiseLevel`."""
        return self._noise.sigma

    @property
    def strength(self) -> float:
        """Factor on the noise level, see `load`; may be set at any time."""
        return self._noise.strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._noise.strength = strength

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        """Estimated PSNR of input and output, in dB; None if unknown.

        It is the PSNR of luma, or of RGB if the model works on that. The input's
        follows from the noise level; the output's adds the gain that this model had at
        that level on the validation clips. The true ones need a reference.
        """
        sigma = self._noise.luma_sigma
        if sigma <= 0:
            return None
        noisy_db = 20 * math.log10(255 / sigma)
        if not self._gains_db or self.strength == 0:
            return noisy_db, noisy_db
        levels = [NEGLIGIBLE_SIGMA, *map(float, self._gains_db)]
        gain_db = float(np.interp(sigma, levels, [0.0, *self._gains_db.values()]))
        return noisy_db, noisy_db + max(0.0, gain_db - self._step.loss_db)

    def __call__(self, image: np.ndarray, pix_fmt: str = "bgr24") -> np.ndarray:
        """Denoise one image of a stream that is held in arrays.

        Args:
            image: ``uint8``; bgr24 and rgb24 ``(H, W, 3)``; gray ``(H, W)``; yuv420p
                as OpenCV's I420, ``(H * 3/2, W)``, which is gray without `pix_fmt`.
            pix_fmt: ``bgr24``, ``rgb24``, ``gray`` or ``yuv420p``.

        Returns:
            A new array of the same shape.

        Raises:
            ValueError: the array does not fit the format.
        """
        return self._arrays(np.asarray(image), pix_fmt)

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        """Load and run the engine before the first frame, which would wait for it.

        Forgets the stream, as `reset` does.

        Args:
            width: frame width in pixels.
            height: frame height in pixels.
            pix_fmt: one of `PIX_FMTS`.

        Raises:
            ConfigError: the model works on RGB, and the frames are YUV.
        """
        self._check_format(pix_fmt)
        depth = bit_depth(pix_fmt)
        # Two frames that move, as first calls allocate and start threads.
        waves = np.sin(np.arange(height)[:, None] / 5) + np.sin(np.arange(width) / 7)
        dtype = np.uint8 if depth == 8 else np.uint16
        luma = ((2 + waves) / 4 * ((1 << depth) - 1)).astype(dtype)
        noise_std = np.full(3, 0.05, np.float32)
        for shift in (0, 2):
            moved = np.roll(luma, shift, 1)
            planes = 3 * (moved,)
            if self.layout == "yuv420":
                planes = with_chroma((moved,), depth)
            self._step.run(planes, noise_std, self.strength, depth)
        self.reset()

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise one frame.

        A change of size or pixel format, and a scene cut, reset the state.

        Args:
            frame: any of `PIX_FMTS`; rgb24 or gray for models of RGB.

        Returns:
            One frame of the same format, size and pts; `frame` itself where there is
            too little noise to remove.

        Raises:
            ConfigError: the model works on RGB, and the frame is YUV.
        """
        self._check_format(frame.pix_fmt)
        if self.strength == 0:
            # The state would be stale when the strength is raised again.
            self._stream = None
            return [frame]
        stream = (frame.pix_fmt, frame.height, frame.width)
        if stream != self._stream:
            self.reset()
            self._stream = stream
        if self.layout == "rgb":
            planes = self._through_rgb(frame)
        elif frame.pix_fmt == "rgb24":
            planes = self._rgb_through_yuv420(frame)
        else:
            planes = self._through_yuv420(frame)
        return [frame if planes is None else frame.with_planes(planes)]

    def flush(self) -> list[Frame]:
        """Frames still held back at the end of a stream: none without lookahead."""
        return []

    def reset(self) -> None:
        """Forget the stream: the next frame is treated as the first one ever."""
        self._forget_scene()
        self._scene.reset()

    def close(self) -> None:
        """Free the engine; may be called again."""
        self._step.close()

    def _check_format(self, pix_fmt: str) -> None:
        if self.layout == "rgb" and pix_fmt not in ("rgb24", "gray"):
            raise ConfigError(
                f"model {self.model} works on RGB images, not on {pix_fmt} video: "
                "choose nano or nano-awgn for it"
            )

    def _forget_scene(self) -> None:
        self._noise.reset()
        self._step.reset()

    def _through_yuv420(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised planes of yuv420 or gray; None if unchanged."""
        planes = with_chroma(frame.planes, bit_depth(frame.pix_fmt))
        cleaned = self._denoised(frame, planes, frame.planes, frame.color)
        return None if cleaned is None else cleaned[: len(frame.planes)]

    def _rgb_through_yuv420(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised RGB, with the color detail that yuv420 cannot hold put back."""
        rgb = frame.planes[0]
        planes = rgb_to_yuv420(rgb, _OWN_COLOR)
        cleaned = self._denoised(frame, planes, planes, _OWN_COLOR)
        if cleaned is None:
            return None
        halved = yuv420_to_rgb(planes, _OWN_COLOR)
        kept = detail_to_keep(rgb, halved, self.sigma * self.strength)
        restored = yuv420_to_rgb(cleaned, _OWN_COLOR) + kept
        return (restored.round().clip(0, 255).astype(np.uint8),)

    def _through_rgb(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised RGB or gray, which is colorless RGB; None if unchanged."""
        planes, seen = 3 * frame.planes, frame.planes
        if frame.pix_fmt == "rgb24":
            planes = split_channels(frame.planes[0])
            if all(np.array_equal(planes[0], other) for other in planes[1:]):
                seen = planes[:1]
        cleaned = self._denoised(frame, planes, seen, frame.color)
        if cleaned is None:
            return None
        if seen[0].ndim == 2:
            cleaned = 3 * (luma_of(cleaned),)
        return (merge_channels(cleaned),) if frame.pix_fmt == "rgb24" else cleaned[:1]

    def _denoised(
        self,
        frame: Frame,
        planes: Sequence[np.ndarray],
        seen: Sequence[np.ndarray],
        color: ColorInfo,
    ) -> tuple[np.ndarray, ...] | None:
        """Denoise the planes of a frame; None if they are too clean for that.

        Args:
            frame: where they come from.
            planes: the frame's planes in the model's layout.
            seen: planes to estimate the noise from, see `NoiseLevel.update`.
            color: matrix and range of the planes.
        """
        depth = bit_depth(frame.pix_fmt)
        peak = (1 << depth) - 1
        if self._scene.update(luma_of(planes), peak):
            self.scene_cuts += 1
            log.debug("scene cut at frame %d", frame.index)
            self._forget_scene()
        noise_std = self._noise.update(seen, peak, color)
        if self._noise.is_negligible(noise_std):
            self._step.reset()
            return None
        if len(noise_std) == 1:
            # Gray: the same noise in R, G and B is all in luma (`packing.OPPONENT`).
            of_luma = noise_std[0] * (math.sqrt(3) if self.layout == "rgb" else 1)
            noise_std = np.array([of_luma, 0, 0], np.float32)
        return self._step.run(planes, noise_std, self.strength, depth)
