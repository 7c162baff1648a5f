"""A noisy clip with, for each moment, independent frames of the same scene.

The noise of two frames is independent, the scene is not: so frames that a denoiser has
not seen tell what belongs to the scene. Codecs freeze noise for some frames, in which
it looks like detail, so neighbors are not used.

- A camera that does not move: the frames after those that are denoised, as two means
  without what passes by.
- One that moves: the frames `LAG` later and earlier, aligned by a dense flow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.alignment import (
    CELL,
    cell_means,
    displacement,
    find_flow,
    follow,
    smooth,
)

MIN_SIDE = 2 * CELL
"""Least side of a frame in pixels."""
LAG = 4
"""Frames between an output and the later frame that it is compared with."""

Planes = tuple[np.ndarray, ...]
"""Luma ``(H, W)``, and chroma unless the clip is gray; float32 in 8-bit levels."""

_MISALIGNED = 2.0
"""A cell is misaligned if coarse differences outweigh fine ones this many times more
than in the best quarter: noise has the same ratio everywhere, motion has another."""
_STEADY_PX = 0.4
"""The camera is fixed if the picture moves less."""
_FLAT = 0.2
"""Share of the aligned cells that count as flat."""
_TEXTURED = (0.6, 0.95)
"""Cells between these quantiles of texture count as textured: there are always some
strong edges, which would outweigh all else."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One frame, and what later and earlier ones say of it.

    Masks are ``(H // CELL, W // CELL)`` bool, one value a cell.
    """

    index: int
    """Of the frame in the clip."""
    noisy: Planes
    references: tuple[Planes, Planes] | None
    """Two estimates of the same scene whose noise is independent of the frame's and of
    each other's; None if the clip is too short."""
    unseen: int
    """Number of the references, from the first, that no denoiser has seen."""
    aligned: np.ndarray
    """Cells in which the references show the same thing; frozen ones are left out."""
    texture: np.ndarray
    """Energy of the smoothed gradient in each cell, float32."""
    textured: np.ndarray
    """Aligned cells with texture; the strongest edges are left out."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A noisy clip that is ready to be measured."""

    frames: tuple[Frame, ...]
    """All that were read, 8-bit yuv420p or gray."""
    denoised: int
    """How many of them, from the first, denoisers get."""
    lag: int | None
    """Frames between an output and the later one that it is compared with; None if the
    camera is fixed and the later ones are not denoised at all."""
    moments: tuple[Moment, ...]
    """Frames in a row, after those in which recursive denoisers settle."""

    @property
    def is_fixed(self) -> bool:
        """Whether the camera stands still."""
        return self.lag is None

    @property
    def input(self) -> tuple[Frame, ...]:
        """The frames to denoise."""
        return self.frames[: self.denoised]

    @cached_property
    def aligned(self) -> np.ndarray:
        """Cells that are aligned at every moment."""
        return np.logical_and.reduce([moment.aligned for moment in self.moments])

    @cached_property
    def flat(self) -> np.ndarray:
        """The flattest of the cells that are aligned at every moment."""
        texture = np.max([moment.texture for moment in self.moments], axis=0)
        return self.aligned & (texture <= _quantile(texture, self.aligned, _FLAT))

    @property
    def noisy(self) -> list[Planes]:
        """The planes of the frames at the moments."""
        return [moment.noisy for moment in self.moments]

    def at_moments(self, denoised: Sequence[Frame]) -> list[Planes]:
        """The planes of a denoised `input` at the moments."""
        return [planes_of(denoised[moment.index]) for moment in self.moments]


def planes_of(frame: Frame) -> Planes:
    """The planes of a frame, to compute with."""
    return tuple(plane.astype(np.float32) for plane in frame.planes)


def full_range(frame: Frame) -> Frame:
    """Gray tagged as what it mostly is, for conversions to RGB; others as they are."""
    if frame.pix_fmt != "gray":
        return frame
    return replace(frame, color=replace(frame.color, range=2))


def prepare_scene(frames: Sequence[Frame], wanted: int) -> Scene:
    """Find out whether the camera moves, and align the frames.

    Args:
        frames: The clip, 8-bit yuv420p or gray; frames beyond `wanted` are used as
            references if the camera is fixed, and otherwise left out.
        wanted: Most frames to denoise.
    """
    if len(frames) >= 4 and camera_is_fixed(frames):
        count = min(wanted, len(frames) // 2)
        return Scene(tuple(frames), count, None, tuple(_fixed_moments(frames, count)))
    frames = frames[:wanted]
    lag = min(LAG, (len(frames) - 1) // 2)
    return Scene(tuple(frames), len(frames), lag, tuple(_moving_moments(frames, lag)))


def camera_is_fixed(frames: Sequence[Frame]) -> bool:
    """Whether most of the picture stays where it is from the first frame on."""
    first, *later = frames[:: max(len(frames) // 12, 1)]
    return all(
        displacement(first.planes[0], frame.planes[0]) < _STEADY_PX for frame in later
    )


def _fixed_moments(frames: Sequence[Frame], count: int) -> list[Moment]:
    later = frames[count:]
    later = later[min(LAG, len(later) // 3) :]
    half = len(later) // 2
    references = (_mean_planes(later[:half]), _mean_planes(later[half:]))
    moments = []
    for t in range(count // 4, count):
        noisy = planes_of(frames[t])
        first, second = (_as_bright(noisy, each) for each in references)
        moments.append(_moment(t, noisy, (first, second), 2))
    return moments


def _as_bright(planes: Planes, others: Planes) -> Planes:
    """Other planes with the brightness of these: sensors and light drift."""
    return tuple(
        other + np.float32(np.median(smooth(plane - other, 2.0)))
        for plane, other in zip(planes, others, strict=True)
    )


def _moving_moments(frames: Sequence[Frame], lag: int) -> list[Moment]:
    if lag < 1:
        return [_moment(t, planes_of(frame), None, 0) for t, frame in enumerate(frames)]
    start = max(lag, min(len(frames) // 4, len(frames) - 1 - lag))
    moments = []
    for t in range(start, len(frames) - lag):
        noisy = planes_of(frames[t])
        flows = [
            find_flow(noisy[0], frames[other].planes[0]) for other in (t + lag, t - lag)
        ]
        later, earlier = (
            tuple(follow(plane, flow) for plane in planes_of(frames[other]))
            for other, flow in zip((t + lag, t - lag), flows, strict=True)
        )
        moments.append(_moment(t, noisy, (later, earlier), 1))
    return moments


def _moment(
    index: int,
    noisy: Planes,
    references: tuple[Planes, Planes] | None,
    unseen: int,
) -> Moment:
    luma = [noisy[0], *(planes[0] for planes in references or ())]
    texture = _texture(smooth(np.mean(luma, axis=0), 1.5))
    aligned = np.ones(texture.shape, bool)
    for other in luma[1:]:
        aligned &= _agrees(noisy[0], other)
    least, most = (_quantile(texture, aligned, share) for share in _TEXTURED)
    return Moment(
        index,
        noisy,
        references,
        unseen,
        aligned,
        texture,
        textured=aligned & (texture >= least) & (texture <= most),
    )


def _agrees(noisy: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cells in which two frames differ by noise alone, and do differ."""
    difference = noisy - other
    coarse = smooth(difference, 2.0)
    # A cell alone is too small to tell; misalignment seldom comes alone.
    ratio = smooth(cell_means(coarse**2), 1.0) / (
        smooth(cell_means((difference - coarse) ** 2), 1.0) + 1e-3
    )
    live = cell_means(difference == 0) <= 0.5
    return live & (ratio <= _MISALIGNED * _quantile(ratio, live, 0.25))


def _texture(luma: np.ndarray) -> np.ndarray:
    """Energy of the gradient in each cell."""
    down, right = np.gradient(luma)
    return cell_means(down**2 + right**2)


def _quantile(values: np.ndarray, where: np.ndarray, share: float) -> float:
    return float(np.quantile(values[where], share)) if where.any() else 0.0


def _mean_planes(frames: Sequence[Frame]) -> Planes:
    """Mean of the middle half of the values at each pixel, without what passes by."""
    outer = len(frames) // 4
    stacks = [
        np.stack(planes) for planes in zip(*(f.planes for f in frames), strict=True)
    ]
    return tuple(
        np.sort(stack, axis=0)[outer : len(frames) - outer].mean(0, dtype=np.float32)
        for stack in stacks
    )


def cells_of(plane: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Means of the cells of a mask, of a plane of luma's or chroma's size."""
    return cell_pixels(plane, cells).mean((1, 2), dtype=np.float32)


def cell_pixels(plane: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Pixels of the cells of a mask: ``(cells, side, side)``.

    Chroma planes have cells of half the side, which cover the same part of the scene.
    """
    rows, columns = cells.shape
    side = CELL if plane.shape[0] >= rows * CELL else CELL // 2
    whole = plane[: rows * side, : columns * side]
    return whole.reshape(rows, side, columns, side).swapaxes(1, 2)[cells]
