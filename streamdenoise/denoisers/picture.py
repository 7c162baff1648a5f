"""Frames through a network of single pictures: no past, gray or RGB."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.frame import Frame, bit_depth
from streamdenoise.imaging.color import (
    GRAY_WEIGHTS,
    rgb_to_gray,
    rgb_to_yuv420,
    with_chroma,
    yuv420_to_rgb,
)
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.inference.artifact import Artifact

_QUIET = 0.25 / 255
"""Below this noise, networks that are told of it have nothing to do."""


class PictureDenoiser(Denoiser):
    """Cleans each frame by itself; only the estimate of the noise looks back.

    Networks for gray see the luma of color, and give gray. Networks for RGB get it
    from video by way of 8 bits.
    """

    takes_pictures = True

    def __init__(self, artifact: Artifact, **options: Any) -> None:
        """See `Denoiser`."""
        super().__init__(artifact, **options)
        self._notes: dict[str, None] = {}
        if self._told is not None and not artifact.takes_sigma:
            self._note(f"{artifact.name} is told no noise level: --sigma is ignored")

    def _note(self, note: str) -> None:
        self._notes[note] = None

    @property
    def backend_notes(self) -> tuple[str, ...]:
        """Why other backends do not work, and what was done to the pictures."""
        return (*super().backend_notes, *self._notes)

    @property
    def psnr_estimate(self) -> None:
        """Not known of these networks."""
        return None

    def prepare(self, width: int, height: int, pix_fmt: str) -> None:
        """See `Denoiser.prepare`."""
        is_rgb_of_video = self.layout == "rgb" and pix_fmt.startswith("yuv")
        depth = 8 if is_rgb_of_video else bit_depth(pix_fmt)
        samples = np.uint8 if depth == 8 else np.uint16
        planes = [np.zeros((height, width), samples)]
        planes *= 1 if self.layout == "gray" else 3
        self._step(planes, np.full(len(planes), 0.1, np.float32), depth)
        self.reset()

    def process(self, frame: Frame) -> list[Frame]:
        """Denoise one frame.

        Args:
            frame: any of `PIX_FMTS`.

        Returns:
            One frame of the same format, size and pts.
        """
        if self.strength == 0:
            return [frame]
        key = (frame.pix_fmt, frame.height, frame.width)
        if key != self._stream_key:
            self.reset()
            self._stream_key = key
        if self.layout == "gray":
            return [self._as_gray(frame)]
        return [self._as_rgb(frame)]

    def _as_gray(self, frame: Frame) -> Frame:
        depth = bit_depth(frame.pix_fmt)
        luma = frame.planes[0]
        about = (frame.color, frame.width, frame.height, frame.pix_fmt)
        told = self._told and plane_sigmas(self._told, *about)[0]
        if frame.pix_fmt == "rgb24":
            if (luma != luma[..., :1]).any():
                self._note_gray()
                told = told and told * float(np.linalg.norm(GRAY_WEIGHTS))
            luma = rgb_to_gray(luma)
        is_limited = len(frame.planes) > 1 and not frame.color.is_full_range
        if is_limited:
            luma = _to_full_range(luma, depth)
            told = told and told * 255 / 219
        (clean,) = self._cleaned([luma], depth, told)
        if is_limited:
            clean = _to_limited_range(clean, depth)
        if frame.pix_fmt == "rgb24":
            return frame.with_planes((cv2.merge(3 * [clean]),))
        if len(frame.planes) > 1:
            self._note_gray()
        planes = (clean,) if len(frame.planes) == 1 else with_chroma((clean,), depth)
        return frame.with_planes(planes)

    def _note_gray(self) -> None:
        self._note(f"{self.model} works on gray: color was converted to gray")

    def _as_rgb(self, frame: Frame) -> Frame:
        depth = bit_depth(frame.pix_fmt)
        if len(frame.planes) == 3:
            if depth > 8:
                self._note(f"{self.model} sees video as RGB of 8 bits")
            rgb = yuv420_to_rgb(frame.planes, frame.color, depth)
            clean = self._cleaned(cv2.split(rgb), 8, self._told)
            return frame.with_planes(
                rgb_to_yuv420(cv2.merge(clean), frame.color, depth)
            )
        if frame.pix_fmt == "rgb24":
            planes = cv2.split(frame.planes[0])
            clean = self._cleaned(planes, depth, self._told)
            return frame.with_planes((cv2.merge(clean),))
        clean = self._cleaned(3 * frame.planes, depth, self._told)
        mean = cv2.transform(cv2.merge(clean), np.full((1, 3), 1 / 3, np.float32))
        return frame.with_planes((mean,))

    def _cleaned(
        self, planes: Sequence[np.ndarray], depth: int, told: float | None
    ) -> tuple[np.ndarray, ...]:
        """Planes of full range: one of gray, or R, G and B, and their level if told."""
        peak = (1 << depth) - 1
        level = self._estimate(planes, peak) if told is None else told / 255
        self.sigma = self._luma_sigma = 255 * level
        if self._artifact.takes_sigma and level * self.strength < _QUIET:
            return tuple(planes)
        return self._step(planes, np.full(len(planes), level, np.float32), depth)

    def _estimate(self, planes: Sequence[np.ndarray], peak: int) -> float:
        """The noise std in [0, 1], of luma or of R, G and B."""
        seen = planes
        if len(planes) == 3 and planes[0].dtype == np.uint8:
            seen = [cv2.merge(planes)]
        sigmas = self._estimator.update(seen, peak, full_range=True)
        return math.sqrt(float(np.square(sigmas).mean()))


def _to_full_range(luma: np.ndarray, depth: int) -> np.ndarray:
    """From 16..235 to 0..255, in 8 or 10 bits: what networks of pictures learn."""
    first, span, peak = _range(depth)
    scaled = cv2.transform(luma, np.array([[peak / span, -first * peak / span]]))
    return np.minimum(scaled, peak)  # OpenCV clips to 0 and to what the type holds


def _to_limited_range(luma: np.ndarray, depth: int) -> np.ndarray:
    first, span, peak = _range(depth)
    return cv2.transform(luma, np.array([[span / peak, first]]))


def _range(depth: int) -> tuple[int, int, int]:
    """First code of luma, codes to its last, and the peak of full range."""
    return 16 << (depth - 8), 219 << (depth - 8), (1 << depth) - 1
