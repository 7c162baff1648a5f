"""Parts of a noisy picture that have no noise: letterbox bars, titles, logos."""

import numpy as np

from .planes import Planes


def draw_graphics(noisy: Planes, clean: Planes, rng: np.random.Generator) -> None:
    """Draw black bars at two sides, or take the noise out of a rectangle, in place.

    Args:
        noisy: planes ``(T, C, H, W)`` of yuv420 or RGB in [0, 1].
        clean: the same planes without noise.
        rng: source of all randomness.
    """
    height, width = (n // 2 for n in noisy[0].shape[-2:])
    if rng.random() < 0.5:
        _draw_bars(noisy, clean, rng)
        return
    # In pixels of chroma, so that the planes stay aligned.
    rows, columns = rng.integers(4, (height // 2 + 1, width // 2 + 1))
    top, left = rng.integers(0, (height - rows, width - columns))
    for dirty, right in zip(noisy, clean, strict=True):
        scale = dirty.shape[-1] // width
        part = np.s_[
            ...,
            scale * top : scale * (top + rows),
            scale * left : scale * (left + columns),
        ]
        dirty[part] = right[part]


def _draw_bars(noisy: Planes, clean: Planes, rng: np.random.Generator) -> None:
    axis = -1 if rng.random() < 0.3 else -2
    side = noisy[0].shape[axis] // 2
    depth = int(rng.integers(2, side // 4))
    black = 16 / 255 if rng.random() < 0.75 else 0.0
    for planes in (noisy, clean):
        for number, plane in enumerate(planes):
            bar = depth * plane.shape[axis] // side
            value = black if number == 0 else 128 / 255
            plane.narrow(axis, 0, bar).fill_(value)
            plane.narrow(axis, plane.shape[axis] - bar, bar).fill_(value)
