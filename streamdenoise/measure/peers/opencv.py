"""OpenCV's non-local means, on each frame independently."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.color import frame_to_rgb, rgb_to_yuv420
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.measure.peers.peer import (
    Axes,
    Filtered,
    Options,
    StoredClip,
    scaled_axes,
)


def _run(
    denoise: Callable[[Frame, Options], Frame],
    options: Options,
    clip: StoredClip,
    threads: int | None,
) -> Filtered:
    """Filter the frames one by one, and time it."""
    with _cv2_threads(threads):
        start = time.perf_counter()
        frames = [denoise(frame, options) for frame in clip.frames]
        return Filtered(frames, time.perf_counter() - start)


@dataclass(frozen=True, slots=True)
class OpenCVNonLocalMeans:
    """`cv2.fastNlMeansDenoising`, whose ``h`` follows the noise of each plane."""

    name: str = "opencv-nlmeans"
    clock: str = "calls of the filter alone"
    max_frames: int | None = 2
    takes_images: bool = False

    def axes(self, luma_sigma: float) -> Axes:
        """Values to try; ``h`` is the strength for luma."""
        return scaled_axes(
            {"h": (1.1, 0.7, 0.9, 1.35, 1.7)},
            {"template": (7, 5), "search": (21,)},
            luma_sigma,
        )

    def run(self, options: Options, clip: StoredClip, threads: int | None) -> Filtered:
        return _run(self._denoise, options, clip, threads)

    @staticmethod
    def _denoise(frame: Frame, options: Options) -> Frame:
        sigmas = plane_sigmas(
            1.0, frame.color, frame.width, frame.height, frame.pix_fmt
        )
        return frame.with_planes(
            tuple(
                cv2.fastNlMeansDenoising(
                    np.ascontiguousarray(plane),
                    h=float(options["h"]) * sigma / sigmas[0],
                    templateWindowSize=int(options["template"]),
                    searchWindowSize=int(options["search"]),
                )
                for plane, sigma in zip(frame.planes, sigmas, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class OpenCVColoredNonLocalMeans:
    """`cv2.fastNlMeansDenoisingColored`, on each frame in RGB.

    Chroma is enlarged and reduced again, which smooths it a little.
    """

    name: str = "opencv-nlmeans-color"
    clock: str = "calls of the filter and the conversions to RGB and back"
    max_frames: int | None = 2
    takes_images: bool = True

    def axes(self, luma_sigma: float) -> Axes:
        """Values to try; ``h`` is the strength for lightness and color."""
        return scaled_axes(
            {"h": (1.0, 0.5, 0.7, 1.4, 2.0)},
            {"template": (7,), "search": (21,)},
            luma_sigma,
        )

    def run(self, options: Options, clip: StoredClip, threads: int | None) -> Filtered:
        return _run(self._denoise, options, clip, threads)

    @staticmethod
    def _denoise(frame: Frame, options: Options) -> Frame:
        strength = float(options["h"])
        bgr = np.ascontiguousarray(frame_to_rgb(frame)[..., ::-1])
        denoised = cv2.fastNlMeansDenoisingColored(
            bgr,
            h=strength,
            hColor=strength,
            templateWindowSize=int(options["template"]),
            searchWindowSize=int(options["search"]),
        )
        rgb = np.ascontiguousarray(denoised[..., ::-1])
        if frame.pix_fmt == "rgb24":
            return frame.with_planes((rgb,))
        return frame.with_planes(rgb_to_yuv420(rgb, frame.color))


@contextmanager
def _cv2_threads(threads: int | None) -> Iterator[None]:
    before = cv2.getNumThreads()
    if threads is not None:
        cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
