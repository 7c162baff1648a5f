"""The denoiser of video: frames in, clean frames out, state in between."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.arrays import ArrayAdapter
from streamdenoise.denoisers.bypass import Bypass
from streamdenoise.denoisers.half_size import HalfSizeStep
from streamdenoise.denoisers.noise_level import YUV_OF_RGB, NoiseLevel, white_stds
from streamdenoise.denoisers.psnr_estimate import PsnrEstimate
from streamdenoise.denoisers.repeats import Repeats
from streamdenoise.denoisers.sample_range import (
    ENGINE_BITS,
    RangeFollower,
    engine_bits,
)
from streamdenoise.denoisers.spinning import SpinningStep
from streamdenoise.denoisers.step_runner import Step, StepRunner
from streamdenoise.denoisers.strength import Strength
from streamdenoise.denoisers.tiled_step import TiledStep
from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo, Frame, bit_depth
from streamdenoise.imaging.bars import keep_bars
from streamdenoise.imaging.channels import (
    is_colorless,
    merge_channels,
    split_channels,
)
from streamdenoise.imaging.color import (
    detail_to_keep,
    rgb_to_yuv420,
    with_chroma,
    yuv420_to_rgb,
)
from streamdenoise.imaging.motion import luma_of
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.imaging.photo import photo_of, photo_to_yuv420
from streamdenoise.imaging.scene_cut import SceneCutDetector
from streamdenoise.imaging.tone import LEAST_TOLD, ToneKeeper
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import OnBuild
from streamdenoise.inference.engine_loader import EngineLoader, Loader
from streamdenoise.stage_times import Work, timed

log = logging.getLogger(__name__)


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
        noise: NoiseLevel | None = None,
        strength: Strength | None = None,
        half_size: bool = False,
        single_images: bool = False,
        tile: int | None = None,
    ) -> None:
        """Assemble a denoiser; no engine is loaded before the first frame.

        Args:
            artifact: the model.
            loader: supplies engines for it; the denoiser closes it.
            noise: the stream's noise, for this denoiser alone; estimated if None.
            strength: how strongly to denoise, for this denoiser alone; neutral if None.
            half_size: whether the network sees frames at half size, see `HalfSizeStep`.
            single_images: whether every frame is an image of its own, after `reset`;
                it then gets more care, see `SpinningStep`.
            tile: see `TiledStep`, for single images; the loader divides video.

        Raises:
            ConfigError: the model is not for video.
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
        self._psnr = PsnrEstimate(artifact.manifest.get("psnr_gain_db", {}))
        self._artifact = artifact
        self._noise = noise or NoiseLevel()
        self._strength = strength or Strength()
        self._bypass = Bypass()
        self._repeats = Repeats()
        self._tone = ToneKeeper()
        self._step: Step = StepRunner(artifact, loader)
        if half_size:
            self._step = HalfSizeStep(self._step, artifact.layout)
        self._is_single = single_images
        if single_images:
            spinning = SpinningStep(self._step, artifact.layout)
            self._step = TiledStep(spinning, artifact.layout, tile)
        self._range = RangeFollower()
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
        noise_profile: str | Path | None = None,
        profile_region: tuple[int, int, int, int] | None = None,
        strength: float = 1.0,
        strength_luma: float = 1.0,
        strength_chroma: float = 1.0,
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
            noise_profile: file that `streamdenoise profile` wrote, instead of `sigma`.
            profile_region: a flat area, the only one to measure noise in: left, top,
                width and height in pixels.
            strength: 0 to 4: 0 returns the input bit for bit, 1 is neutral.
            strength_luma: factor on `strength` for the brightness.
            strength_chroma: factor on `strength` for the color.
            threads: CPU threads of the backend; None lets the runtime choose, up to the
                CPU quota of the cgroup. OpenCV has its own, see `cv2.setNumThreads`.
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
        denoiser = cls(
            artifact,
            loader,
            noise=NoiseLevel(sigma, profile=noise_profile, region=profile_region),
            strength=Strength(strength, luma=strength_luma, chroma=strength_chroma),
        )
        loader.check()
        return denoiser

    @property
    def backend(self) -> str:
        """Name of the backend in use; empty before the first frame."""
        return self._step.backend

    @property
    def backend_notes(self) -> tuple[str, ...]:
        """Why other backends do not work here, and remarks on the noise."""
        return (*self._step.notes, *self._noise.notes)

    @property
    def sigma(self) -> float:
        """Noise level of the last frame in 8-bit levels, see `NoiseLevel`."""
        return self._noise.sigma

    @property
    def noise_levels(self) -> tuple[float, ...]:
        """Noise profile of the last frame in 8-bit levels, see `NoiseLevel.levels`."""
        return self._noise.levels

    @property
    def strength(self) -> float:
        """How strongly noise is removed, see `load`; may be set at any time."""
        return self._strength.total

    @strength.setter
    def strength(self, strength: float) -> None:
        self._strength.total = strength

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        """Estimated PSNR of input and output, in dB; None if nothing is removed.

        It is the PSNR of luma, or of RGB if the model works on that; see
        `PsnrEstimate`. The true ones need a reference.
        """
        estimate = self._psnr.of(
            self._noise.levels,
            self._noise.luma_sigma,
            self._step.loss_db,
            self._noise.given,
        )
        if estimate is None or self._noise.gain != 1:
            return None
        noisy_db, clean_db = estimate
        share = min(1.0, self._strength.factors[0]) * self._bypass.share
        # The model's error hardly depends on the noise that the mixture leaves.
        left = math.hypot(1 - share, share * 10 ** ((noisy_db - clean_db) / 20))
        return noisy_db, noisy_db - 20 * math.log10(left)

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
        depth = engine_bits(pix_fmt)
        # Two frames that move, as first calls allocate and start threads.
        waves = np.sin(np.arange(height)[:, None] / 5) + np.sin(np.arange(width) / 7)
        dtype = np.uint8 if depth == 8 else np.uint16
        luma = ((2 + waves) / 4 * ((1 << depth) - 1)).astype(dtype)
        profile = np.full(len(LEVELS), 0.05, np.float32)
        for shift in (0, 2):
            moved = np.roll(luma, shift, 1)
            planes = 3 * (moved,)
            if self.layout == "yuv420":
                planes = with_chroma((moved,), depth)
            self._step.run(planes, profile, depth)
        self.reset()

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise one frame.

        A change of size or pixel format, and a scene cut, reset the state.

        Args:
            frame: any of `PIX_FMTS`; RGB or gray for models of RGB.

        Returns:
            One frame of the same format, size and pts; `frame` itself where there is
            too little noise to remove.

        Raises:
            ConfigError: the model works on RGB, and the frame is YUV; or the area to
                measure noise in is not inside of the frame.
        """
        self._check_format(frame.pix_fmt)
        if not any(self._strength.factors):
            # The state would be stale when the strength is raised again.
            self._stream = None
            return [frame]
        stream = (frame.pix_fmt, frame.height, frame.width)
        if stream != self._stream:
            self.reset()
            self._stream = stream
        planes = self._repeats.made_of(frame.planes)
        if planes is None:
            planes = self._through_model(frame)
            if not self._is_single:
                self._repeats.remember(frame.planes, planes)
        if planes is None:
            return [frame]
        mixed = self._strength.mixed(frame.planes, planes, self._bypass.share)
        return [frame.with_planes(mixed)]

    def flush(self) -> list[Frame]:
        """Frames still held back at the end of a stream: none without lookahead."""
        return []

    def reset(self) -> None:
        """Forget the stream: the next frame is treated as the first one ever."""
        self._forget_scene()
        self._range.reset()
        self._scene.reset()
        self._repeats.reset()

    def close(self) -> None:
        """Free the engine; may be called again."""
        self._step.close()

    def _check_format(self, pix_fmt: str) -> None:
        if self.layout == "rgb" and not pix_fmt.startswith(("rgb", "gray")):
            raise ConfigError(
                f"model {self.model} works on RGB images, not on {pix_fmt} video: "
                "choose nano or nano-awgn for it"
            )

    def _forget_scene(self) -> None:
        self._noise.reset()
        self._bypass.reset()
        self._psnr.reset()
        self._step.reset()
        self._tone.reset()

    def _through_model(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised planes of a frame; None if unchanged."""
        if bit_depth(frame.pix_fmt) < 16:
            self._noise.gain = 1.0
            return self._through_layout(frame)
        (samples,) = frame.planes
        used, has_changed = self._range.update(samples)
        if has_changed:
            self._forget_scene()
        self._noise.gain = used.gain(frame)
        narrowed = used.narrowed(samples)
        cleaned = self._through_layout(frame.with_planes((narrowed,)))
        if cleaned is None:
            return None
        return (used.restored(samples, narrowed, cleaned[0]),)

    def _through_layout(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised planes of `engine_bits`; None if unchanged."""
        if self.layout == "rgb":
            return self._through_rgb(frame)
        if frame.pix_fmt == "rgb48le" or (frame.pix_fmt == "rgb24" and self._is_single):
            return self._deep_rgb_through_yuv420(frame)
        if frame.pix_fmt == "rgb24":
            return self._rgb_through_yuv420(frame)
        return self._through_yuv420(frame)

    def _through_yuv420(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised planes of yuv420 or gray; None if unchanged."""
        planes = with_chroma(frame.planes, engine_bits(frame.pix_fmt))
        cleaned = self._denoised(frame, planes, frame.planes, frame.color)
        return None if cleaned is None else cleaned[: len(frame.planes)]

    def _rgb_through_yuv420(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised RGB, with the color detail that yuv420 cannot hold put back."""
        rgb = frame.planes[0]
        planes = rgb_to_yuv420(rgb, YUV_OF_RGB)
        seen = planes[:1] if is_colorless(rgb) else planes
        cleaned = self._denoised(frame, planes, seen, YUV_OF_RGB)
        if cleaned is None:
            return None
        halved = yuv420_to_rgb(planes, YUV_OF_RGB)
        sigma = self.sigma * max(1.0, self._strength.factors[1])
        kept = detail_to_keep(rgb, halved, sigma)
        restored = yuv420_to_rgb(cleaned, YUV_OF_RGB) + kept
        return (restored.round().clip(0, 255).astype(np.uint8),)

    def _deep_rgb_through_yuv420(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """The same for 16 bits and for photographs: no step is rounded to 8 bits."""
        rgb = frame.planes[0]
        peak = (1 << engine_bits(frame.pix_fmt)) - 1
        planes = photo_to_yuv420(rgb, peak, YUV_OF_RGB, ENGINE_BITS)
        seen = planes[:1] if is_colorless(rgb) else planes
        cleaned = self._denoised(frame, planes, seen, YUV_OF_RGB, ENGINE_BITS)
        if cleaned is None:
            return None
        sigma = self.sigma * self._noise.gain * max(1.0, self._strength.factors[1])
        return (photo_of(cleaned, rgb, planes, peak, sigma, YUV_OF_RGB, ENGINE_BITS),)

    def _through_rgb(self, frame: Frame) -> tuple[np.ndarray, ...] | None:
        """Denoised RGB or gray, which is colorless RGB; None if unchanged."""
        planes, seen = 3 * frame.planes, frame.planes
        is_color = frame.planes[0].ndim == 3
        if is_color:
            planes = split_channels(frame.planes[0])
            if is_colorless(frame.planes[0]):
                seen = planes[:1]
        cleaned = self._denoised(frame, planes, seen, frame.color)
        if cleaned is None:
            return None
        if seen[0].ndim == 2:
            cleaned = 3 * (luma_of(cleaned),)
        return (merge_channels(cleaned),) if is_color else cleaned[:1]

    def _denoised(
        self,
        frame: Frame,
        planes: Sequence[np.ndarray],
        seen: Sequence[np.ndarray],
        color: ColorInfo,
        depth: int | None = None,
    ) -> tuple[np.ndarray, ...] | None:
        """Denoise the planes of a frame; None if they are too clean for that.

        Args:
            frame: where they come from.
            planes: the frame's planes in the model's layout.
            seen: planes to estimate the noise from, see `NoiseLevel.update`.
            color: matrix and range of the planes.
            depth: bits per sample of the planes; None if as many as the frame's.
        """
        depth = depth or engine_bits(frame.pix_fmt)
        peak = (1 << depth) - 1
        if self._scene.update(luma_of(planes), peak):
            self.scene_cuts += 1
            log.debug("scene cut at frame %d", frame.index)
            self._forget_scene()
        self._noise.compare(frame)
        white = white_stds(seen, color)
        full_range = color.is_full_range or len(seen) == 1
        with timed(Work.ESTIMATE):
            profile = self._noise.update(
                *(seen, peak, white),
                full_range=full_range,
                hidden=frame.hidden_noise,
                raise_coarse=self._is_single and self._artifact.levels == len(LEVELS),
            )
        told = self._strength.told(profile)
        if not self._bypass.update(255 * float(self._artifact.told(told).max())):
            self._step.reset()
            self._psnr.reset()
            return None
        if len(white) == 1 and self.layout == "rgb":
            # The same noise in R, G and B is all in luma (`channels.OPPONENT`).
            told *= np.float32(math.sqrt(3))
        cleaned = self._step.run(planes, told, depth)
        level = float(told[:3].max())
        if self.layout == "yuv420" and level > LEAST_TOLD:
            std, excess = self._noise.luma_sigma / 255, level / float(profile[:3].max())
            luma = self._tone.keep(planes[0], cleaned[0], peak, std, excess)
            cleaned = (luma, *cleaned[1:])
        keep_bars(planes, cleaned)
        shown = len(planes) if self.layout == "rgb" else 1
        self._psnr.update(planes[:shown], cleaned[:shown], peak)
        return cleaned
