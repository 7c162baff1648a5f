"""Detail that is kept, and the past that still shows.

Both are slopes of a regression on frames with independent noise, which do not change
with the noise that is left or removed.
"""

from collections.abc import Sequence

import numpy as np

from streamdenoise.imaging.alignment import cell_means, smooth
from streamdenoise.measure.quality.real.scene import (
    Planes,
    Scene,
    cells_of,
    planes_of,
)

_BAND_PX = 2.0
"""Detail is what a Gaussian of this std takes away."""
_SEEN = 0.02
"""Detail counts if it is at least this share of the energy in its band."""
_COARSE_PX = 1.5
_MOVING = 8.0
"""A cell moves if it changes this many times more than a quiet one."""
_LEAST = 4.0
"""... and by more than this, in squared 8-bit levels."""


def detail_kept(scene: Scene, output: Sequence[Planes]) -> float | None:
    """Share of the fine luma texture that an output keeps: 1 is all, 0 is none.

    The texture of the output projected on that of an unseen frame, over the texture of
    the input projected on the same.

    Returns:
        None if there is no texture that shows in more than one frame.
    """
    kept = there = energy = 0.0
    for moment, planes in zip(scene.moments, output, strict=True):
        if moment.references is None or not moment.textured.any():
            continue
        reference = _detail(moment.references[0][0])
        noisy = _detail(moment.noisy[0])
        kept += _sum(_detail(planes[0]) * reference, moment.textured)
        there += _sum(noisy * reference, moment.textured)
        energy += _sum(noisy**2, moment.textured)
    return kept / there if there > _SEEN * energy and there > 0 else None


def ghost(scene: Scene, output: Sequence[Planes]) -> float | None:
    """Share of the last frame that still shows where things move: 0 is none.

    What the output adds to the frame, projected on the difference between the frames
    before and after. Blur is symmetric in time and does not count; nor does noise.

    Returns:
        None if nothing moves.
    """
    shown = energy = 0.0
    for moment, planes in zip(scene.moments, output, strict=True):
        if not 0 < moment.index < len(scene.frames) - 1:
            continue
        before, after = (
            planes_of(scene.frames[moment.index + step])[0] for step in (-1, 1)
        )
        motion = smooth(before - after, _COARSE_PX)
        change = cell_means(motion**2)
        moving = change > max(_MOVING * float(np.quantile(change, 0.2)), _LEAST)
        added = smooth(planes[0] - moment.noisy[0], _COARSE_PX)
        shown += _sum(added * motion, moving)
        energy += _sum(motion**2, moving)
    # The last frame is half of the way between the two.
    return 2 * shown / energy if energy > 0 else None


def _detail(luma: np.ndarray) -> np.ndarray:
    return luma - smooth(luma, _BAND_PX)


def _sum(values: np.ndarray, where: np.ndarray) -> float:
    return float(cells_of(values, where).sum(dtype=np.float64))
