"""Two upper bounds of the noise in each cell: from space and from time.

From space: the energy of the second differences in both directions (Immerkaer, "Fast
noise variance estimation", CVIU 1996, eq. 4), to which texture only adds. From time:
the half of that energy in the difference from an earlier frame, to which misalignment
only adds. What is left of the misalignment after a move by whole pixels is the gradient
times a fraction of a pixel (Lucas and Kanade, "An iterative image registration
technique", 1981), so the share that the gradient explains is taken off. The gradient is
that of the sum of both frames: its noise is independent of that of their difference,
and of the curves that one frame has against the other only odd orders are left.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_BLOCK = 8
"""Side, in reduced samples, of the square that shares one fraction of a pixel."""
_FURTHEST = 4
"""Most pixels by which one fit moves a cell: further than that it means nothing."""
_MOVED = 0.3
"""A motion that explains less than this share was fitted to noise."""
_TINY = np.float32(1e-9)
_SECOND = np.array([1, -2, 1], np.float32)
_SLOPE, _SAME = np.array([-1, 0, 1], np.float32), np.ones(1, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Details:
    """What one scale of the cells of one plane is measured by.

    Attributes:
        second: ``(n, N, n)`` second differences in both directions, n a multiple of 8.
        right: those of the gradient to the right, in units of two pixels.
        down: those of the gradient downward.
    """

    second: np.ndarray
    right: np.ndarray
    down: np.ndarray

    @classmethod
    def of(cls, cells: np.ndarray, scale: int) -> "Details":
        """Measure the middle of cells, reduced by `scale`.

        Args:
            cells: ``(side, N, side)`` float32, see `CellGrid.cut`.
            scale: 1, 2 or 4; white noise has the same level at each.
        """
        side, count = cells.shape[:2]
        # Two samples on each side are lost to the differences.
        size = 2 * _BLOCK if (2 * _BLOCK + 4) * scale <= side else _BLOCK
        cut = (side - (size + 4) * scale) // 2
        kept = slice(cut, side - cut)
        flat = np.ascontiguousarray(cells[kept, :, kept]).reshape(side - 2 * cut, -1)
        parts = (
            flat,
            cv2.sepFilter2D(flat, -1, _SLOPE, _SAME),
            cv2.sepFilter2D(flat, -1, _SAME, _SLOPE),
        )
        return cls(*(_second(part, scale, count, size) for part in parts))


def _second(flat: np.ndarray, scale: int, count: int, size: int) -> np.ndarray:
    """Second differences of cells that lie side by side: ``(size, count, size)``."""
    if scale > 1:
        reduced = (flat.shape[1] // scale, flat.shape[0] // scale)
        flat = cv2.resize(flat, reduced, interpolation=cv2.INTER_AREA)
    found = cv2.sepFilter2D(flat, -1, _SECOND, _SECOND * np.float32(scale / 6))
    whole = found.reshape(size + 4, count, size + 4)
    return np.ascontiguousarray(whole[2:-2, :, 2:-2])


def spatial_bound(now: Details) -> np.ndarray:
    """Upper bound ``(N,)`` of the variance of the noise."""
    return _products(now.second, now.second).mean((0, 2))


def temporal_bound(now: Details, then: Details) -> tuple[np.ndarray, np.ndarray]:
    """Upper bound from the difference of two frames, and what it says of the motion.

    Args:
        now: of the new frame.
        then: of the earlier one, of cells moved to where their content was.

    Returns:
        ``(N,)`` upper bound of the variance, and ``(N, 2)`` float32 pixels (right,
        down) by which the content has moved further.
    """
    change = now.second - then.second
    right, down = now.right + then.right, now.down + then.down
    pairs = (
        (change, right),
        (change, down),
        (right, right),
        (right, down),
        (down, down),
    )
    products = np.stack([_products(x, y) for x, y in pairs])
    p, q, a, b, c = products
    det = np.maximum(a * c - b * b, 1e-3 * a * c + _TINY)
    explained = (c * p * p - 2 * b * p * q + a * q * q) / det
    energy = _products(change, change)
    bound = np.maximum(energy - explained, 0).mean((0, 2)) / 2
    p, q, a, b, c = products.sum((1, 3))
    det = np.maximum(a * c - b * b, 1e-2 * a * c + _TINY)
    # The sum of two frames' differences over two pixels is four times the gradient.
    further = np.stack([c * p - b * q, a * q - b * p], 1) / (det[:, None] / 4)
    further[explained.sum((0, 2)) < _MOVED * energy.sum((0, 2))] = 0
    return bound, np.minimum(np.maximum(further, -_FURTHEST), _FURTHEST)


def _products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean products of blocks: ``(n / 8, N, n / 8)``."""
    size, count = x.shape[:2]
    blocks = size // _BLOCK
    product = cv2.multiply(x.reshape(size, -1), y.reshape(size, -1))
    means = cv2.resize(product, (count * blocks, blocks), interpolation=cv2.INTER_AREA)
    return means.reshape(blocks, count, blocks)
