"""Alignment of noisy frames for measuring, where exactness counts more than speed.

`streamdenoise.imaging.motion` is the fast one, which denoising follows.
"""

import cv2
import numpy as np

CELL = 16
"""Side in luma pixels of the square that moves along the flow, or stays, as a whole."""

_MIN_SIDE = 32
"""Smaller frames are not searched."""
_TILE = 64
"""Side in pixels of the tiles that are correlated."""
_WORTH = 0.8
"""A flow must reduce the squared difference of a cell to this share of what standing
still leaves; one that was fitted to noise leaves more."""
_SLIGHT = 0.02
"""Squared difference, in 8-bit levels, that is not worth a motion."""


def displacement(luma: np.ndarray, other: np.ndarray) -> float:
    """How far most of one frame has moved in another, in pixels.

    The peak of the mean correlation of many tiles, which noise hardly changes, nor a
    large thing that moves, nor slow changes of the light.

    Args:
        luma: ``(H, W)`` in 8-bit levels, any real type.
        other: The same shape.
    """
    side = min(_TILE, *luma.shape)
    window = np.hanning(side)[:, None] * np.hanning(side)
    spectra: list[np.ndarray] = []
    for plane in (luma, other):
        band = smooth(plane, 1.5) - smooth(plane, 8.0)
        limit = 3 * float(np.median(np.abs(band)))
        tiles = np.lib.stride_tricks.sliding_window_view(
            np.clip(band, -limit, limit), (side, side)
        )[:: side // 2, :: side // 2]
        tiles = tiles.reshape(-1, side, side) * window
        energy = np.sqrt(np.sum(tiles**2, axis=(1, 2), keepdims=True))
        spectra.append(np.fft.rfft2(tiles / (energy + 1e-6)))
    surface = np.fft.irfft2(np.mean(np.conj(spectra[0]) * spectra[1], axis=0))
    peak = np.unravel_index(surface.argmax(), surface.shape)
    centered = np.roll(surface, [-place for place in peak], (0, 1))
    around = (centered[[-1, 0, 1], 0], centered[0, [-1, 0, 1]])
    # The top of a parabola through the peak and its neighbors.
    shifts = [
        min(place, side - place)
        + abs(after - before) / (2 * (2 * top - before - after) + 1e-9)
        for place, (before, top, after) in zip(peak, around, strict=True)
    ]
    return float(np.hypot(*shifts))


def find_flow(luma: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute where each pixel of one frame is in another.

    Dense inverse search (Kroeger and others, 2016) on smoothed frames. Cells that it
    does not explain better stay: interpolation would change their noise.

    Args:
        luma: ``(H, W)`` in 8-bit levels, any real type.
        other: The same shape.

    Returns:
        ``(H, W, 2)`` float32, (right, down) in pixels, such that ``luma(x, y)`` is
        about ``other(x + right, y + down)``.
    """
    now, then = smooth(luma, 1.0), smooth(other, 1.0)
    flow = np.zeros((*now.shape, 2), np.float32)
    if min(now.shape) < _MIN_SIDE:
        return flow
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    # The search takes 8 bits; dark scenes use few of the levels.
    low, high = np.percentile(now, (0.5, 99.5))
    scale = 255 / max(high - low, 16.0)
    stretched = [
        np.clip((plane - low) * scale, 0, 255).astype(np.uint8) for plane in (now, then)
    ]
    # OpenCV's type stubs demand a flow to start from.
    found = np.asarray(search.calc(*stretched, None), np.float32)  # pyright: ignore
    left = _around(cell_means((now - follow(then, found)) ** 2))
    left_by_zero = _around(cell_means((now - then) ** 2))
    worth = left + _SLIGHT < _WORTH * left_by_zero
    whole = worth.repeat(CELL, 0).repeat(CELL, 1)
    # What is left over at the right and the bottom goes with the nearest cell.
    rows, columns = ((0, a - b) for a, b in zip(now.shape, whole.shape, strict=True))
    return np.where(np.pad(whole, (rows, columns), "edge")[..., None], found, flow)


def follow(plane: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Take the value of each pixel at its place plus its vector.

    Args:
        plane: ``(h, w)``, any real type.
        flow: ``(H, W, 2)`` as from `find_flow`; scaled to the size of the plane.

    Returns:
        ``(h, w)`` float32; pixels with a vector of zero are exactly those of the plane.
    """
    height, width = plane.shape
    if flow.shape[:2] != plane.shape:
        scale = np.float32(height / flow.shape[0])
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) * scale
    mode = cv2.INTER_LANCZOS4 | cv2.WARP_RELATIVE_MAP
    source = plane.astype(np.float32)
    # OpenCV's type stubs do not know that both coordinates can be in one map.
    return cv2.remap(source, flow, None, mode, None, cv2.BORDER_REPLICATE)  # pyright: ignore


def smooth(plane: np.ndarray, std_px: float) -> np.ndarray:
    """Blur a plane ``(H, W)`` with a Gaussian of this std; float32."""
    return cv2.GaussianBlur(plane.astype(np.float32), (0, 0), std_px)


def cell_means(plane: np.ndarray, side: int = CELL) -> np.ndarray:
    """Mean of each whole square of `side` pixels: ``(H // side, W // side)``."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    cells = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cells.mean((1, 3), dtype=np.float32)


def _around(cells: np.ndarray) -> np.ndarray:
    """Mean of each cell and its neighbors."""
    return cv2.blur(cells, (3, 3))
