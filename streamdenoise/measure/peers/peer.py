"""The protocol of other denoisers to compare with.

Every peer gets the same noisy planes as the model, and the options that suit the noise
best (`streamdenoise.measure.peers.search`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from streamdenoise.frame import Frame, bit_depth, plane_shapes

Options = Mapping[str, float | str]
Axes = dict[str, tuple[float | str, ...]]
"""Values to try for each option; the first one is the start."""


@dataclass(frozen=True, slots=True)
class StoredClip:
    """Frames in memory, with the same planes in a raw file for other programs."""

    frames: tuple[Frame, ...]
    raw: Path

    def first(self, count: int | None) -> "StoredClip":
        """The first `count` frames, or all if None; the raw file is the same."""
        return replace(self, frames=self.frames[:count])


@dataclass(frozen=True, slots=True)
class Filtered:
    """A clip denoised by a peer."""

    frames: list[Frame]
    seconds: float
    """Time taken, by the peer's `Peer.clock`."""


class Peer(Protocol):
    """A denoiser, and the options to search."""

    @property
    def name(self) -> str: ...

    @property
    def clock(self) -> str:
        """Which work `Filtered.seconds` covers, for the report."""
        ...

    @property
    def max_frames(self) -> int | None:
        """Most frames of a clip to search on, for slow peers; None uses all."""
        ...

    @property
    def takes_images(self) -> bool:
        """Whether it takes single images in rgb24, too, and gains without a past."""
        ...

    def axes(self, luma_sigma: float) -> Axes:
        """Values to try; `luma_sigma` is the std in luma in 8-bit levels."""
        ...

    def run(self, options: Options, clip: StoredClip, threads: int | None) -> Filtered:
        """Denoise a clip.

        Args:
            options: One value for each of `axes`.
            clip: 8-bit yuv420p; or rgb24, if it `takes_images`.
            threads: None uses one per core.

        Raises:
            ConfigError: A program that the peer needs is missing, or it failed.
        """
        ...


def store(frames: Sequence[Frame], path: Path) -> StoredClip:
    """Write the planes of every frame one after the other, as FFmpeg's rawvideo."""
    with path.open("wb") as file:
        for frame in frames:
            for plane in frame.planes:
                file.write(np.ascontiguousarray(plane).data)
    return StoredClip(tuple(frames), path)


def from_raw(data: bytes, frames: Sequence[Frame]) -> list[Frame]:
    """`frames` with the planes that a peer wrote; the inverse of `store`.

    Raises:
        ValueError: The number of samples differs from that of `frames`.
    """
    first = frames[0]
    dtype = np.uint8 if bit_depth(first.pix_fmt) == 8 else np.uint16
    shapes = plane_shapes(first.pix_fmt, first.width, first.height)
    sizes = [int(np.prod(shape)) for shape in shapes]
    samples = np.frombuffer(data, dtype)
    if len(samples) != sum(sizes) * len(frames):
        raise ValueError(f"{len(samples) // sum(sizes)} of {len(frames)} frames")
    return [
        frame.with_planes(
            tuple(
                part.reshape(shape)
                for part, shape in zip(
                    np.split(values, np.cumsum(sizes)[:-1]), shapes, strict=True
                )
            )
        )
        for frame, values in zip(frames, samples.reshape(len(frames), -1), strict=True)
    ]


def scaled_axes(
    scales: Mapping[str, Sequence[float]],
    choices: Mapping[str, Sequence[float | str]],
    luma_sigma: float,
    limits: tuple[float, float] = (0.0, float("inf")),
) -> Axes:
    """Axes of options that grow with the noise, and of options that do not.

    Args:
        scales: Option -> factors on `luma_sigma`.
        choices: Option -> values.
        luma_sigma: Std of the noise in luma, in 8-bit levels.
        limits: Allowed range of the scaled options.
    """
    low, high = limits
    scaled = {
        option: tuple(
            dict.fromkeys(
                round(min(max(factor * luma_sigma, low), high), 4) for factor in factors
            )
        )
        for option, factors in scales.items()
    }
    return {**scaled, **{option: tuple(v) for option, v in choices.items()}}
