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


@dataclass(frozen=True, slots=True, eq=False)
class Details:
    """What one scale of the cells of one kind of plane is measured by.

    Attributes:
        parts: ``(3, n, N, n)`` second differences in both directions, n a multiple of
            8: of the samples, of the gradient to the right, and of that downward, both
            in units of two pixels.
    """

    parts: np.ndarray

    @classmethod
    def of(cls, cells: np.ndarray, scale: int) -> "Details":
        """Measure the middle of cells, reduced by `scale`.

        Args:
            cells: ``(side, N, side)`` see `CellGrid.cut`.
            scale: 1, 2 or 4; white noise has the same level at each.
        """
        side, count = cells.shape[:2]
        # Two samples on each side are lost to the differences.
        size = 2 * _BLOCK if (2 * _BLOCK + 4) * scale <= side else _BLOCK
        cut = (side - (size + 4) * scale) // 2
        kept = slice(cut, side - cut)
        rows = cells[kept, :, kept].reshape((size + 4) * scale, -1)
        sums = _sums(rows, scale)
        # All parts below each other: few large steps are faster than many small ones.
        parts = np.zeros((3, size + 4, rows.shape[1] // scale), cells.dtype)
        parts[0] = _sums(sums.T, scale).T
        parts[1, :, 1:-1] = _slopes(sums.T, scale).T
        parts[2, 1:-1] = _sums(_slopes(rows, scale).T, scale).T
        flat = parts.reshape(3 * (size + 4), -1)
        unit = np.float32(1 / (6 * scale))
        found = cv2.sepFilter2D(flat, cv2.CV_32F, _SECOND, _SECOND * unit)
        whole = found.reshape(3, size + 4, count, size + 4)
        return cls(np.ascontiguousarray(whole[:, 2:-2, :, 2:-2]))

    @property
    def second(self) -> np.ndarray:
        """The first of the parts, ``(n, N, n)``."""
        return self.parts[0]


def _sums(rows: np.ndarray, scale: int) -> np.ndarray:
    """Sums of every `scale` rows."""
    if scale == 1:
        return rows
    sums = rows[::scale] + rows[1::scale]
    for first in range(2, scale):
        sums += rows[first::scale]
    return sums


def _slopes(rows: np.ndarray, scale: int) -> np.ndarray:
    """The same of the differences over two rows, but for the first and the last sum."""
    ends = rows[scale::scale] + rows[scale - 1 : -1 : scale]
    return ends[1:] - ends[:-1]


def spatial_bound(now: Details) -> np.ndarray:
    """Upper bound ``(N,)`` of the variance of the noise."""
    second = now.second
    return np.einsum("abc,abc->b", second, second) / second[:, 0].size


def temporal_bound(now: Details, then: Details) -> tuple[np.ndarray, np.ndarray]:
    """Upper bound from the difference of two frames, and what it says of the motion.

    Args:
        now: of the new frame.
        then: of the earlier one, of cells moved to where their content was.

    Returns:
        ``(N,)`` upper bound of the variance, and ``(N, 2)`` float32 pixels (right,
        down) by which the content has moved further.
    """
    size, count = now.parts.shape[1:3]
    change = (now.second - then.second).reshape(size, -1)
    right, down = (now.parts[1:] + then.parts[1:]).reshape(2, size, -1)
    pairs = (
        (change, change),
        (change, right),
        (change, down),
        (right, right),
        (right, down),
        (down, down),
    )
    products = np.empty((6, size, size * count), np.float32)
    for pair, product in zip(pairs, products, strict=True):
        cv2.multiply(*pair, product)
    energy, p, q, a, b, c = means = _block_means(products, count)
    det = np.maximum(a * c - b * b, 1e-3 * a * c + _TINY)
    explained = (c * p * p - 2 * b * p * q + a * q * q) / det
    bound = np.maximum(energy - explained, 0).mean((0, 2)) / 2
    energy, p, q, a, b, c = means.sum((1, 3))
    det = np.maximum(a * c - b * b, 1e-2 * a * c + _TINY)
    # The sum of two frames' differences over two pixels is four times the gradient.
    further = np.stack([c * p - b * q, a * q - b * p], 1) / (det[:, None] / 4)
    further[explained.sum((0, 2)) < _MOVED * energy] = 0
    return bound, np.minimum(np.maximum(further, -_FURTHEST), _FURTHEST)


def _block_means(products: np.ndarray, count: int) -> np.ndarray:
    """Means of blocks: ``(k, n / 8, N, n / 8)`` of ``(k, n, N n)``."""
    number, size, width = products.shape
    flat = products.reshape(-1, width)
    reduced = (width // _BLOCK, len(flat) // _BLOCK)
    means = cv2.resize(flat, reduced, interpolation=cv2.INTER_AREA)
    return means.reshape(number, size // _BLOCK, count, -1)
