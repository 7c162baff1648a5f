"""OpenCV's non-local means, on each plane of each frame independently."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.measure.peers.peer import (
    Axes,
    Filtered,
    Options,
    StoredClip,
    scaled_axes,
)


@dataclass(frozen=True, slots=True)
class OpenCVNonLocalMeans:
    """`cv2.fastNlMeansDenoising`, whose ``h`` follows the noise of each plane."""

    name: str = "opencv-nlmeans"
    clock: str = "calls of the filter alone"
    max_frames: int | None = 2

    def axes(self, luma_sigma: float) -> Axes:
        """Values to try; ``h`` is the strength for luma."""
        return scaled_axes(
            {"h": (1.1, 0.7, 0.9, 1.35, 1.7)},
            {"template": (7, 5), "search": (21,)},
            luma_sigma,
        )

    def run(self, options: Options, clip: StoredClip, threads: int | None) -> Filtered:
        with _cv2_threads(threads):
            start = time.perf_counter()
            frames = [self._denoise(frame, options) for frame in clip.frames]
            return Filtered(frames, time.perf_counter() - start)

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


@contextmanager
def _cv2_threads(threads: int | None) -> Iterator[None]:
    before = cv2.getNumThreads()
    if threads is not None:
        cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
