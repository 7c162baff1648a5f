"""The denoiser: frames in, clean frames out, state in between."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.options import MAX_SIGMA
from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo, Frame, bit_depth
from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.imaging.motion import MotionFollower, luma_of
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_level import NoiseEstimator
from streamdenoise.imaging.scene_cut import SceneCutDetector
from streamdenoise.inference.artifact import Artifact, open_artifact
from streamdenoise.inference.backend import Backend, OnBuild
from streamdenoise.inference.engine_loader import EngineLoader, Loader
from streamdenoise.inference.load import check_backend

log = logging.getLogger(__name__)

_QUIET = 0.25
"""Below this noise, in 8-bit levels, frames pass as they are: rounding is as bad."""


class Denoiser(Closing):
    """Cleans a stream frame by frame; not thread-safe.

    Attributes:
        model: name of the model.
        backend: name of the backend in use; ``""`` before the first frame of ``auto``.
        strength: scales the noise level; 0 returns the input bit-exactly, 1 is neutral.
            May be set at any time.
        sigma: present noise level in 8-bit levels of RGB, told, or such that white
            noise of this level in RGB makes the luma noise that was estimated.
        layout: ``yuv420``, or ``rgb`` for models of pictures: rgb24 and gray frames.
        scene_cuts: how many times the state was reset by a cut.
    """

    lookahead = 0
    """Future frames that are needed before one comes out."""
    takes_pictures = False
    """Whether it runs models that have no state, see `PictureDenoiser`."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        backend: str = "auto",
        sigma: float | str = "auto",
        strength: float = 1.0,
        threads: int | None = None,
        tile: int | None = None,
        wait_for_engine: bool = True,
        on_build: OnBuild | None = None,
        loader: Loader | None = None,
    ) -> None:
        """See `load`; `loader` gives engines in place of an `EngineLoader`."""
        if sigma != "auto":
            try:
                sigma = float(sigma)
            except ValueError:
                raise ConfigError(
                    f"sigma {sigma!r} is neither a number nor 'auto'; give the noise "
                    "std in 8-bit levels, such as 25"
                ) from None
            if not 0 <= sigma <= MAX_SIGMA:
                raise ConfigError(
                    f"sigma {sigma:g} is outside 0 to {MAX_SIGMA:g} (8-bit levels)"
                )
        if not 0 <= strength <= 4:
            raise ConfigError(f"strength {strength:g} is outside 0 to 4; 1 is neutral")
        if not (self.takes_pictures or artifact.state_names):
            raise ConfigError(
                f"model {artifact.name} is for single pictures: run it with "
                "`streamdenoise image`, `file` or `live` (without --max-lag), or "
                "choose nano"
            )
        if artifact.layout == "gray" and not self.takes_pictures:
            raise ConfigError(
                f"model {artifact.name} works on gray; choose one for yuv420 or rgb"
            )
        self.model = artifact.name
        self.layout = artifact.layout
        self.strength = strength
        self.backend = "" if backend == "auto" else backend
        self.sigma = 0.0 if sigma == "auto" else float(sigma)
        self.scene_cuts = 0
        self._luma_sigma = 0.0
        self._told = None if sigma == "auto" else float(sigma)
        self._artifact = artifact
        self._loader = loader or EngineLoader(
            artifact,
            backend=backend,
            threads=threads,
            tile=tile,
            wait=wait_for_engine,
            on_build=on_build,
        )
        self._engine: Backend | None = None
        self._engine_key: tuple[int, int, int] | None = None
        self._stream_key: tuple[str, int, int] | None = None
        self._estimator = NoiseEstimator(artifact.sigma_scales)
        self._scene = SceneCutDetector()
        self._motion = MotionFollower()
        self._fresh = True
        self._index = 0

    @property
    def backend_notes(self) -> tuple[str, ...]:
        """Why backends that ``auto`` tried first do not work here."""
        return self._loader.notes

    @property
    def load_step(self) -> str:
        """Empty: nothing is switched off to keep up, see `AdaptiveDenoiser`."""
        return ""

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
            model: name of a shipped model, or path of a compiled one's ``.json``.
            backend: a name of `BACKENDS`, or ``"auto"`` for the first that works.
            sigma: noise std of RGB in 8-bit levels, or ``"auto"`` to estimate it.
            strength: see `Denoiser`.
            threads: CPU threads of the backend; None lets the runtime choose. The
                search for motion uses OpenCV's, see `cv2.setNumThreads`.
            tile: largest side of what is denoised at once, in pixels, for devices with
                little memory; the result is the same.
            wait_for_engine: see `wait` of `EngineLoader`.
            on_build: see `EngineLoader`.

        Raises:
            ConfigError: an option is out of range, or no such model exists.
            BackendUnavailableError: the named backend does not work here.
        """
        denoiser = cls(
            open_artifact(model),
            backend=backend,
            sigma=sigma,
            strength=strength,
            threads=threads,
            tile=tile,
            wait_for_engine=wait_for_engine,
            on_build=on_build,
        )
        if backend != "auto":
            # Say now, not at the first frame, that a named backend does not work.
            check_backend(backend, denoiser._artifact)
        return denoiser

    def close(self) -> None:
        """Free the engine; may be called again."""
        self._loader.close()
        if self._engine is not None:
            self._engine.close()
        self._engine = None
        self._engine_key = None
        self._motion = MotionFollower()

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        """Compile and run the engine before the first frames, which would wait for it.

        Forgets the stream, as `reset` does.

        Args:
            width: of the frames, in pixels.
            height: of the frames.
            pix_fmt: one of `PIX_FMTS`.

        Raises:
            ConfigError: the model works on RGB, and the frames are others.
        """
        self._check_format(pix_fmt)
        depth = bit_depth(pix_fmt)
        # Two frames that move, as first calls allocate and start threads.
        waves = np.sin(np.arange(height)[:, None] / 5) + np.sin(np.arange(width) / 7)
        dtype = np.uint8 if depth == 8 else np.uint16
        luma = ((2 + waves) / 4 * ((1 << depth) - 1)).astype(dtype)
        chroma = luma[: (height + 1) // 2, : (width + 1) // 2]
        rest = (luma, luma) if self.layout == "rgb" else (chroma, chroma)
        for shift in (0, 2):
            moved = (np.roll(luma, shift, 1), *rest)
            self._step(moved, np.full(3, 0.05, np.float32), depth)
        self._fresh = False
        self.reset()

    def _check_format(self, pix_fmt: str) -> None:
        if self.layout == "rgb" and pix_fmt not in ("rgb24", "gray"):
            raise ConfigError(
                f"model {self.model} works on RGB pictures, not on {pix_fmt} video: "
                "choose nano or nano-awgn for it"
            )

    def reset(self) -> None:
        """Forget the stream: the next frame is treated as the first one ever."""
        self._forget_scene()
        self._scene.reset()

    def _forget_scene(self) -> None:
        self._estimator.reset()
        self._forget_past()

    def _forget_past(self) -> None:
        if self._engine is not None and not self._fresh:
            self._engine.reset()
        self._motion.reset()
        self._fresh = True

    def flush(self) -> list[Frame]:
        """Frames still held back at the end of a stream: none without look-ahead."""
        return []

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise one frame.

        A change of size or pixel format, and a scene cut, reset the state.

        Args:
            frame: any of `PIX_FMTS`.

        Returns:
            One frame of the same format, size and pts.

        Raises:
            ConfigError: the model works on RGB, and the frame does not.
        """
        self._check_format(frame.pix_fmt)
        if self.strength == 0:
            # The state would be stale when the strength comes back up.
            self._stream_key = None
            return [frame]
        key = (frame.pix_fmt, frame.height, frame.width)
        if key != self._stream_key:
            self.reset()
            self._stream_key = key
        if frame.pix_fmt == "rgb24":
            return [self._process_rgb(frame)]
        if self.layout == "rgb":
            return [self._process_gray(frame)]
        return [frame.with_planes(self._process_planes(frame.planes, frame))]

    def __call__(self, image: np.ndarray, pix_fmt: str = "bgr24") -> np.ndarray:
        """Denoise one picture of a stream that is held in arrays.

        Args:
            image: ``uint8``; bgr24 and rgb24 ``(H, W, 3)``; gray ``(H, W)``; yuv420p
                as OpenCV's I420, ``(H * 3/2, W)``, which is gray without `pix_fmt`.
            pix_fmt: ``bgr24``, ``rgb24``, ``gray`` or ``yuv420p``.

        Returns:
            A new array of the same shape.

        Raises:
            ValueError: the array does not fit the format.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8:
            raise ValueError(f"image must be uint8, got {image.dtype}")
        if image.ndim == 2 and pix_fmt != "yuv420p":
            clean = self._one((image,), "gray").planes[0]
            return clean.copy() if np.may_share_memory(clean, image) else clean
        if pix_fmt == "yuv420p":
            return self._one_i420(image)
        if pix_fmt not in ("bgr24", "rgb24") or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"image of shape {image.shape} is not {pix_fmt}; give bgr24, rgb24, "
                "gray or yuv420p"
            )
        rgb = image if pix_fmt == "rgb24" else image[..., ::-1]
        clean = self._one((np.ascontiguousarray(rgb),), "rgb24").planes[0]
        clean = np.ascontiguousarray(clean if pix_fmt == "rgb24" else clean[..., ::-1])
        return clean.copy() if np.may_share_memory(clean, image) else clean

    @property
    def psnr_estimate(self) -> tuple[float, float] | None:
        """Estimated PSNR in dB of the input and of the output; None if unknown.

        Of luma, or of RGB if the model works on that.

        The input's follows from the noise level; the output's adds the gain that this
        model had at that level on the validation clips. Both are estimates: the true
        ones need a reference.
        """
        if self._luma_sigma <= 0:
            return None
        noisy = 20 * float(np.log10(255 / self._luma_sigma))
        table = self._artifact.manifest.get("psnr_gain_db", {})
        if not table or self.strength == 0:
            return noisy, noisy
        # What is so quiet passes unchanged.
        levels, gains = [_QUIET, *map(float, table)], [0.0, *table.values()]
        gain = float(np.interp(self._luma_sigma, levels, gains))
        return noisy, noisy + gain

    def _one(self, planes: tuple[np.ndarray, ...], pix_fmt: str) -> Frame:
        frame = Frame(
            planes=planes,
            pix_fmt=pix_fmt,
            color=ColorInfo(),
            pts=self._index,
            time_base=Fraction(1, 30),
            index=self._index,
            captured_at=time.monotonic(),
        )
        self._index += 1
        return self.process(frame)[0]

    def _one_i420(self, image: np.ndarray) -> np.ndarray:
        height = image.shape[0] * 2 // 3
        width = image.shape[1] if image.ndim == 2 else 0
        if image.ndim != 2 or image.shape[0] * 2 % 3 or height % 2 or width % 2:
            raise ValueError(
                f"a yuv420p image is (H * 3/2, W) with even H and W, got {image.shape}"
            )
        flat = image.reshape(-1)
        luma, chroma = height * width, height * width // 4
        halves = (height // 2, width // 2)
        planes = (
            flat[:luma].reshape(height, width),
            flat[luma : luma + chroma].reshape(halves),
            flat[luma + chroma :].reshape(halves),
        )
        clean = self._one(planes, "yuv420p").planes
        return np.concatenate([plane.reshape(-1) for plane in clean]).reshape(
            image.shape
        )

    def _process_rgb(self, frame: Frame) -> Frame:
        """As it is, or through yuv420 and what that cannot hold of color put back."""
        from streamdenoise.imaging.color import (
            detail_to_keep,
            rgb_to_yuv420,
            yuv420_to_rgb,
        )

        color = ColorInfo(matrix=1, range=2)
        rgb = frame.planes[0]
        if self.layout == "rgb":
            planes = tuple(cv2.split(rgb))
            if all(np.array_equal(planes[0], other) for other in planes[1:]):
                gray = self._process_gray(
                    replace(frame, planes=planes[:1], pix_fmt="gray")
                )
                clean = gray.planes[0]
                same = clean is planes[0]
                return frame if same else frame.with_planes((cv2.merge(3 * [clean]),))
            cleaned = self._process_planes(planes, frame, color)
            same = cleaned[0] is planes[0]
            return frame if same else frame.with_planes((cv2.merge(cleaned),))
        planes = rgb_to_yuv420(rgb, color, 8)
        cleaned = self._process_planes(planes, frame, color)
        if all(a is b for a, b in zip(planes, cleaned, strict=True)):
            return frame
        halved = yuv420_to_rgb(planes, color, 8)
        kept = detail_to_keep(rgb, halved, self.sigma * self.strength)
        restored = yuv420_to_rgb(cleaned, color, 8) + kept
        return frame.with_planes((restored.round().clip(0, 255).astype(np.uint8),))

    def _process_gray(self, frame: Frame) -> Frame:
        """As colorless RGB."""
        planes = 3 * frame.planes
        cleaned = self._process_planes(planes, frame)
        same = cleaned[0] is planes[0]
        return frame if same else frame.with_planes((luma_of(cleaned),))

    def _process_planes(
        self,
        planes: Sequence[np.ndarray],
        frame: Frame,
        color: ColorInfo | None = None,
    ) -> tuple[np.ndarray, ...]:
        depth = bit_depth(frame.pix_fmt)
        peak = (1 << depth) - 1
        if self._scene.update(luma_of(planes), peak):
            self.scene_cuts += 1
            log.debug("scene cut at frame %d", frame.index)
            self._forget_scene()
        color = color or frame.color
        seen = frame.planes if self.layout == "rgb" else planes
        sigmas = self._sigmas(seen, peak, color)
        self._luma_sigma = float(sigmas[0]) * 255
        self.sigma = self._luma_sigma / self._luma_share(seen, color)
        if float(sigmas.max()) * self.strength * 255 < _QUIET:
            self._forget_past()
            return tuple(planes)
        self._fresh = False
        if self.layout == "rgb" and len(sigmas) == 1:
            # The same noise in R, G and B is all in luma (`packing.OPPONENT`).
            sigmas = sigmas * (math.sqrt(3), 0, 0)
        if len(planes) == 1:
            half = tuple((n + 1) // 2 for n in planes[0].shape)
            gray = np.full(half, (peak + 1) // 2, planes[0].dtype)
            told = np.array([sigmas[0], 0, 0], np.float32)
            return self._step((planes[0], gray, gray), told, depth)[:1]
        return self._step(planes, sigmas.astype(np.float32), depth)

    @staticmethod
    def _luma_share(planes: Sequence[np.ndarray], color: ColorInfo) -> float:
        """Std of luma for RGB noise of std 1; gray and RGB are their own luma."""
        if len(planes) == 1:
            return 1.0
        height, width = planes[0].shape
        return plane_sigmas(1.0, color, width, height)[0]

    def _sigmas(
        self, planes: Sequence[np.ndarray], peak: int, color: ColorInfo
    ) -> np.ndarray:
        if self._told is None:
            full_range = len(planes) == 1 or color.range == 2
            return self._estimator.update(planes, peak, full_range)
        if len(planes) == 1:
            count = self._artifact.sigmas if planes[0].ndim == 3 else 1
            return np.full(count, self._told / 255, np.float32)
        height, width = planes[0].shape
        told = plane_sigmas(self._told, color, width, height)
        return np.array(told, np.float32) / 255

    def _step(
        self, planes: Sequence[np.ndarray], sigmas: np.ndarray, depth: int
    ) -> tuple[np.ndarray, ...]:
        """Pad to what the engine takes, run it, and crop."""
        height, width = planes[0].shape
        padded_h, padded_w = self._padded(height, width)
        engine = self._engine_for(padded_h, padded_w, depth)
        whole = list(planes)
        if (padded_h, padded_w) != (height, width):
            shapes = layout_shapes(self.layout, padded_h, padded_w)
            whole = [_pad(p, *s) for p, s in zip(planes, shapes, strict=True)]
        if self._artifact.state_names:
            flow = self._motion.flow(whole, (1 << depth) - 1)
            if flow is not None:
                engine.warp(flow)
        cleaned = engine.step(whole, sigmas, self.strength)
        if self._artifact.state_names:
            self._motion.remember(cleaned)
        return tuple(
            np.ascontiguousarray(clean[: plane.shape[0], : plane.shape[1]])
            for clean, plane in zip(cleaned, planes, strict=True)
        )

    def _padded(self, height: int, width: int) -> tuple[int, int]:
        multiple = self._artifact.multiple
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple

    def _engine_for(self, height: int, width: int, depth: int) -> Backend:
        key = (height, width, depth)
        if self._engine is None or key != self._engine_key:
            self.close()
            self._engine = self._loader.load(height, width, depth)
            self._engine_key = key
        elif (better := self._loader.better()) is not None:
            log.warning("%s takes over from %s", better.name, self._engine.name)
            better.set_state(self._engine.state())
            self._engine.close()
            self._engine = better
        self.backend = self._engine.name
        return self._engine


def _pad(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    missing = ((0, height - plane.shape[0]), (0, width - plane.shape[1]))
    return np.pad(plane, missing, mode="edge")
