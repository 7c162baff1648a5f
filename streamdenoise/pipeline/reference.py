"""Finds the clean version of each frame, to measure the PSNR with.

Both classes are called once for each frame of a source, in order, and return the frame
to denoise together with its clean version.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.imaging.noise import add_gaussian_noise


class NoiseAdder:
    """Adds noise to each frame; the frame itself is the reference."""

    def __init__(self, sigma: float, seed: int = 0) -> None:
        """`sigma` is the std in 8-bit levels of RGB; `seed` repeats the noise."""
        self._sigma = sigma
        self._rng = np.random.default_rng(seed)

    def __call__(self, frame: Frame) -> tuple[Frame, Frame | None]:
        return add_gaussian_noise(frame, self._sigma, self._rng), frame


class ReferenceReader:
    """Finds the clean version of each frame in a second stream, by `Frame.index`."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames: Iterator[Frame] = iter(frames)
        self._current: Frame | None = None

    def __call__(self, frame: Frame) -> tuple[Frame, Frame | None]:
        """The frame, and its clean version; None if the reference lacks it.

        Raises:
            ConfigError: The reference has another size or format.
        """
        while self._current is None or self._current.index < frame.index:
            self._current = next(self._frames, None)
            if self._current is None:
                return frame, None
        clean = self._current
        if clean.index > frame.index:  # the reference lacks this frame
            return frame, None
        if clean.pix_fmt != frame.pix_fmt or clean.planes[0].shape != (
            frame.planes[0].shape
        ):
            raise ConfigError(
                f"the reference is {clean.width}x{clean.height} {clean.pix_fmt} but "
                f"the input {frame.width}x{frame.height} {frame.pix_fmt}; give a clean "
                "version of the same video"
            )
        return frame, clean
