"""Finds the clean version of each frame, to compare the result with.

Both classes are called once for each frame of a source, in order, and return the frame
to denoise together with its clean version.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.imaging.noise import add_noise
from streamdenoise.pipeline.reader import FindReference


class NoiseAdder:
    """Adds noise to each frame.

    The reference is what `find_reference` finds for the frame, or the frame itself.
    """

    def __init__(
        self, noise: AddedNoise, find_reference: FindReference | None = None
    ) -> None:
        self._noise = noise
        self._find = find_reference
        self._rng = np.random.default_rng(noise.seed)

    def __call__(self, frame: Frame) -> tuple[Frame, Frame | None]:
        clean = frame if self._find is None else self._find(frame)[1]
        return add_noise(frame, self._noise, self._rng), clean


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
