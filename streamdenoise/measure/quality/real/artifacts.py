"""What a denoiser must not add: borders of blocks, other brightness, other color."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamdenoise.imaging.alignment import CELL, cell_means
from streamdenoise.measure.quality.real.scene import Planes, Scene

BLOCK = 4
"""Side in pixels of the blocks that the network works on."""

_SLIGHT = 0.01
"""Squared step in 8-bit levels that nobody sees."""


def border_steps(output: Sequence[Planes]) -> float:
    """Squared luma steps across borders of 4x4 blocks, over those at other places.

    Measured in the half of the cells with the least steps, as edges outweigh all else.

    Returns:
        1.0 without borders.
    """
    across, elsewhere = [_SLIGHT], [_SLIGHT]
    for luma in (side for planes in output for side in (planes[0], planes[0].T)):
        height, width = (side // CELL for side in luma.shape)
        # A step belongs to the right one of two columns; the first column has none.
        steps = np.diff(luma[: height * CELL, : width * CELL], axis=1)
        steps = steps[:, CELL - 1 :] ** 2
        if not steps.size:
            continue
        energy = cell_means(steps)
        columns = steps.reshape(height, CELL, width - 1, CELL).mean(1)
        columns = columns[energy <= np.median(energy)]
        at_border = np.arange(CELL) % BLOCK == 0
        across.append(float(columns[:, at_border].mean()))
        elsewhere.append(float(columns[:, ~at_border].mean()))
    return sum(across) / sum(elsewhere)


@dataclass(frozen=True, slots=True)
class Shift:
    """Output less input in means of 16x16 pixels over all moments, in 8-bit levels."""

    mean: tuple[float, ...]
    """For each plane (Y, U, V): of the whole frame."""
    worst: tuple[float, ...]
    """For each plane: the largest of any 16x16 pixels, without sign."""


def shift(scene: Scene, output: Sequence[Planes]) -> Shift:
    """Measure the change in brightness and color."""
    means, worst = [], []
    for p in range(len(output[0])):
        change = np.mean(
            [
                planes[p] - moment.noisy[p]
                for moment, planes in zip(scene.moments, output, strict=True)
            ],
            axis=0,
        )
        means.append(float(change.mean()))
        cells = cell_means(change) if min(change.shape) >= CELL else change.mean()
        worst.append(float(np.abs(cells).max()))
    return Shift(tuple(means), tuple(worst))
