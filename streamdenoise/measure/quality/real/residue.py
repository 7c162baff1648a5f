"""Noise that is left where the scene is flat, so that all change is noise."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamdenoise.imaging.alignment import cell_means
from streamdenoise.measure.quality.real.scene import Planes, Scene, cells_of

SCALES = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Residue:
    """Standard deviations of luma, in 8-bit levels; None where nothing is aligned."""

    spatial: tuple[float, ...] | None
    """Of the means of 1x1, 2x2 and 4x4 pixels from one to the next, over the square
    root of two: for white noise 1, 1/2 and 1/4 of its std."""
    temporal: float | None
    """From frame to frame, over the square root of two; flat parts."""
    flicker: float | None
    """The same of all aligned parts, edges and texture included; fixed cameras."""
    pumping: float | None
    """Over time, of the means of 16x16 pixels: slow waves in brightness."""


def measure_residue(scene: Scene, output: Sequence[Planes]) -> Residue:
    """Measure what is left in an output, given at the moments of the scene."""
    lumas = [planes[0] for planes in output]
    flat = scene.flat
    spatial = None
    if flat.any():
        spatial = tuple(_neighbors(lumas, flat, scale) for scale in SCALES)
    if len(lumas) < 2:
        return Residue(spatial, None, None, None)
    steps = [(b - a) ** 2 for a, b in itertools.pairwise(lumas)]
    temporal = pumping = flicker = None
    if flat.any():
        temporal = _rms_step(steps, flat)
        means = np.stack([cells_of(luma, flat) for luma in lumas])
        pumping = float(np.sqrt(means.var(axis=0, dtype=np.float64).mean()))
    if scene.is_fixed:
        flicker = _rms_step(steps, scene.aligned) if scene.aligned.any() else None
    return Residue(spatial, temporal, flicker, pumping)


def _rms_step(steps: Sequence[np.ndarray], where: np.ndarray) -> float:
    return float(np.sqrt(np.mean([cells_of(step, where) for step in steps]) / 2))


def _neighbors(lumas: Sequence[np.ndarray], flat: np.ndarray, scale: int) -> float:
    """RMS difference of neighbors at a scale, over the square root of two."""
    side = 16 // scale
    squares = []
    for luma in lumas:
        small = cell_means(luma, scale)
        for axis in (0, 1):
            # Repeated at the end, so that cells keep their places.
            step = np.diff(small, axis=axis, append=np.take(small, [-1], axis))
            cells = cell_means(step**2, side)[: flat.shape[0], : flat.shape[1]]
            squares.append(cells[flat])
    return float(np.sqrt(np.mean(squares) / 2))
