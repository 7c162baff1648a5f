"""Parts of a frame, enlarged, as every method returned them, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.alignment import CELL, cell_means, smooth
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.measure.plots import figure_type
from streamdenoise.measure.quality.real.scene import (
    Scene,
    full_range,
    planes_of,
)

_SIDE = 96
"""Of a crop in pixels, at most; a multiple of `CELL`."""
_ENLARGED = 3
_LABEL_PX = 24
_GAP_PX = 4
_LIT = 100
"""Mean that dark crops are brightened to, by at most `_MOST_LIT` times."""
_MOST_LIT = 4.0


@dataclass(frozen=True, slots=True)
class Crop:
    """An image with one part of a frame as all methods returned it."""

    image: str
    """Name of the PNG, next to the report."""
    shows: str
    """What was looked for, and where it is."""


def write_crops(
    name: str, scene: Scene, panels: Mapping[str, Frame], folder: Path
) -> list[Crop]:
    """Write the parts of the last frame in which noise and detail are easiest to judge.

    Args:
        name: Of the clip; the files are named after it.
        scene: Its last moment is shown.
        panels: Label -> the frame of that moment.
        folder: Must exist.

    Raises:
        ConfigError: Matplotlib is missing.
    """
    crops = []
    rgb = {label: frame_to_rgb(full_range(frame)) for label, frame in panels.items()}
    for what, (top, left, height, width) in _choose(scene).items():
        window = np.s_[top : top + height, left : left + width]
        parts = [image[window] for image in rgb.values()]
        gain = min(_LIT / max(float(parts[0].mean()), 1.0), _MOST_LIT)
        note = ""
        if gain > 1.5:
            parts = [np.clip(part * gain, 0, 255).astype(np.uint8) for part in parts]
            note = f", brightened {gain:.1f} times"
        image = folder / f"{name}_{what}.png"
        _draw(parts, list(rgb), image)
        place = f"{width}x{height} at {left},{top}"
        crops.append(Crop(image.name, f"{what}, {place}, {_ENLARGED} times{note}"))
    return crops


def _choose(scene: Scene) -> dict[str, tuple[int, int, int, int]]:
    """Windows (top, left, height, width) of detail in noise, dark flat, and motion."""
    moment = scene.moments[-1]
    luma = moment.noisy[0]
    height, width = (min(_SIDE, side) for side in luma.shape)
    rows, columns = (max(side // CELL, 1) for side in (height, width))
    coarse = smooth(luma, 2.0)
    down, right = np.gradient(coarse)
    texture = cell_means(np.hypot(down, right))
    noise = np.sqrt(cell_means((luma - smooth(luma, 1.0)) ** 2))
    level = cell_means(luma)
    if not texture.size:
        return {"whole": (0, 0, *luma.shape)}
    # Flat parts tell how strong noise is in the dark and in the light, not edges.
    dark = 1 / (1 + np.maximum(level - np.quantile(level, 0.3), 0) / 8)
    scores = {
        "detail": texture * (1 + noise),
        "flat": np.minimum(noise, 4) * dark / (0.5 + texture),
    }
    before = planes_of(scene.frames[max(moment.index - 1, 0)])[0]
    change = cell_means(smooth(luma - before, 1.5) ** 2)
    if change.max() > 8 * np.quantile(change, 0.2) + 4:
        scores["motion"] = change
    windows = {}
    for what, score in scores.items():
        sums = np.lib.stride_tricks.sliding_window_view(score, (rows, columns))
        # The median of a window: one bright dot does not make it.
        best = np.median(sums, axis=(2, 3)).argmax()
        row, column = np.unravel_index(best, sums.shape[:2])
        windows[what] = (int(row) * CELL, int(column) * CELL, height, width)
    return windows


def _draw(parts: Sequence[np.ndarray], labels: Sequence[str], path: Path) -> None:
    """Write enlarged images in a row, pixel by pixel, with a label above each."""
    big = [part.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1) for part in parts]
    height, width = big[0].shape[:2]
    total = (len(big) * (width + _GAP_PX) - _GAP_PX, height + _LABEL_PX)
    figure = figure_type()(figsize=(total[0] / 100, total[1] / 100), dpi=100)
    for n, (image, label) in enumerate(zip(big, labels, strict=True)):
        left = n * (width + _GAP_PX)
        figure.figimage(image, left, 0)
        figure.text(
            (left + 2) / total[0],
            (height + 6) / total[1],
            label,
            fontsize=9,
            clip_on=True,
        )
    figure.savefig(path, dpi=100)
