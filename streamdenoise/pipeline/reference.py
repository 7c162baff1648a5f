"""What clean is, for a PSNR that is measured and not guessed.

Both classes are called once for each frame of a source, in order, and give the frame
to denoise together with its clean version.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.imaging.noise import add_gaussian_noise


class NoiseAdder:
    """Makes the noisy frame itself, so that the source's own frame is the reference."""

    def __init__(self, sigma: float, seed: int = 0) -> None:
        """Take noise of std `sigma` in 8-bit levels of RGB, the same for a `seed`."""
        self._sigma = sigma
        self._rng = np.random.default_rng(seed)

    def __call__(self, frame: Frame) -> tuple[Frame, Frame | None]:
        return add_gaussian_noise(frame, self._sigma, self._rng), frame


class ReferenceReader:
    """Finds each frame's clean version in a second stream, by `Frame.index`."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames: Iterator[Frame] = iter(frames)
        self._current: Frame | None = None

    def __call__(self, frame: Frame) -> tuple[Frame, Frame | None]:
        """The frame, and its clean version or None once the reference has ended.

        Raises:
            ConfigError: The reference has another size or format.
        """
        while self._current is None or self._current.index < frame.index:
            self._current = next(self._frames, None)
            if self._current is None:
                return frame, None
        clean = self._current
        if clean.index > frame.index:  # the reference lost this frame
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
