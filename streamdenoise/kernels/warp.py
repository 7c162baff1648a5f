"""Warping a state in blocks: from one vector a cell to the blocks that moved.

All pixels of a block share one vector, as in the motion compensation of codecs, so the
cubic filter is separable, and each block takes two short passes in registers. Blocks
that did not move are copied.

Indices are unsigned: with signed ones Numba would test each for being negative, and few
loops would become vectors.
"""

import numpy as np

from streamdenoise.kernels.compiled import compiled

MARGIN = 8
"""Pixels of the edge that are repeated around a plane."""

SCRATCH = 28
"""Values that the kernels keep for themselves; an array of that size is passed."""

_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uintp(i) for i in range(9))
_12, _16, _20 = np.uintp(12), np.uintp(16), np.uintp(20)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_NEAR, _FAR = np.float32(0.75), np.float32(0.25)
_A = np.float32(-0.75)
"""Shape of the cubic filter, as in OpenCV and PyTorch."""


@compiled("float32[:, :, :]", "float32[:, :, :]")
def vectors_of_blocks(cells: np.ndarray, vectors: np.ndarray) -> None:
    """Interpolate from cells of 8x8 pixels ``(h, w, 2)`` to blocks ``(2h, 2w, 2)``."""
    rows, columns = cells.shape[0], cells.shape[1]
    for i in range(np.uintp(2 * rows)):
        y = i // _2
        other = np.intp(y) + 2 * np.intp(i % _2) - 1
        y2 = np.uintp(min(max(other, 0), rows - 1))
        for j in range(np.uintp(2 * columns)):
            x = j // _2
            other = np.intp(x) + 2 * np.intp(j % _2) - 1
            x2 = np.uintp(min(max(other, 0), columns - 1))
            for axis in range(_2):
                near = _NEAR * cells[y, x, axis] + _FAR * cells[y, x2, axis]
                far = _NEAR * cells[y2, x, axis] + _FAR * cells[y2, x2, axis]
                vectors[i, j, axis] = _NEAR * near + _FAR * far


@compiled("float32[:, :, :]", "uint64", "float32[:, :]")
def scatter_plane(blocks: np.ndarray, first: np.uintp, plane: np.ndarray) -> None:
    """Write 16 channels of blocks, from `first` on, into a plane with margins."""
    height, width = np.uintp(blocks.shape[0]), np.uintp(blocks.shape[1])
    for by in range(height):
        for bx in range(width):
            for i in range(_4):
                y, x, c = _8 + _4 * by + i, _8 + _4 * bx, first + _4 * i
                for j in range(_4):
                    plane[y, x + j] = blocks[by, bx, c + j]
    _repeat_edges(plane, _1)


@compiled("float32[:, :, :]", "float32[:, :]")
def scatter_chroma(blocks: np.ndarray, plane: np.ndarray) -> None:
    """Write the last 8 of 24 channels into a plane of pairs (U, V) with margins."""
    height, width = np.uintp(blocks.shape[0]), np.uintp(blocks.shape[1])
    for by in range(height):
        for bx in range(width):
            for i in range(_2):
                y, x, c = _8 + _2 * by + i, _16 + _4 * bx, _16 + _2 * i
                plane[y, x] = blocks[by, bx, c]
                plane[y, x + _1] = blocks[by, bx, c + _4]
                plane[y, x + _2] = blocks[by, bx, c + _1]
                plane[y, x + _3] = blocks[by, bx, c + _5]
    _repeat_edges(plane, _2)


@compiled(
    *("float32[:, :]", "float32[:, :, :]", "float32[:, :, :]", "uint64"),
    *("float32[:]", "float32[:, :, :]"),
)
def warp_plane(
    plane: np.ndarray,
    vectors: np.ndarray,
    blocks: np.ndarray,
    first: np.uintp,
    scratch: np.ndarray,
    warped: np.ndarray,
) -> None:
    """Warp 16 channels of blocks, which `scatter_plane` has written into `plane`.

    Args:
        plane: with margins.
        vectors: ``(h, w, 2)``, in pixels of the plane.
        blocks: ``(h, w, C)``.
        first: the first of the channels.
        scratch: `SCRATCH` values.
        warped: ``(h, w, C)``, gets these channels.
    """
    height, width = vectors.shape[0], vectors.shape[1]
    for by in range(np.uintp(height)):
        for bx in range(np.uintp(width)):
            right, down = vectors[by, bx, _0], vectors[by, bx, _1]
            if right == _ZERO and down == _ZERO:
                for i in range(_16):
                    warped[by, bx, first + i] = blocks[by, bx, first + i]
                continue
            whole_x, whole_y = _floor(right), _floor(down)
            x = _place(4 * np.intp(bx) + whole_x, 4 * width)
            y = _place(4 * np.intp(by) + whole_y, 4 * height)
            a, b, c, d = _cubic(right - np.float32(whole_x))
            for i in range(_7):
                for j in range(_4):
                    scratch[_4 * i + j] = (
                        a * plane[y + i, x + j]
                        + b * plane[y + i, x + j + _1]
                        + c * plane[y + i, x + j + _2]
                        + d * plane[y + i, x + j + _3]
                    )
            a, b, c, d = _cubic(down - np.float32(whole_y))
            for i in range(_16):
                warped[by, bx, first + i] = (
                    a * scratch[i]
                    + b * scratch[i + _4]
                    + c * scratch[i + _8]
                    + d * scratch[i + _12]
                )


@compiled(
    *("float32[:, :]", "float32[:, :, :]", "float32[:, :, :]"),
    *("float32[:]", "float32[:, :, :]"),
)
def warp_chroma(
    plane: np.ndarray,
    vectors: np.ndarray,
    blocks: np.ndarray,
    scratch: np.ndarray,
    warped: np.ndarray,
) -> None:
    """Warp the chroma of blocks, which `scatter_chroma` has written into `plane`.

    Args:
        plane: pairs, with margins.
        vectors: ``(h, w, 2)``, in pixels of luma.
        blocks: ``(h, w, 24)``.
        scratch: `SCRATCH` values.
        warped: ``(h, w, 24)``, gets the last 8 channels.
    """
    height, width = vectors.shape[0], vectors.shape[1]
    for by in range(np.uintp(height)):
        for bx in range(np.uintp(width)):
            right, down = _HALF * vectors[by, bx, _0], _HALF * vectors[by, bx, _1]
            if right == _ZERO and down == _ZERO:
                for i in range(_8):
                    warped[by, bx, _16 + i] = blocks[by, bx, _16 + i]
                continue
            whole_x, whole_y = _floor(right), _floor(down)
            x = _2 * _place(2 * np.intp(bx) + whole_x, 2 * width)
            y = _place(2 * np.intp(by) + whole_y, 2 * height)
            a, b, c, d = _cubic(right - np.float32(whole_x))
            for i in range(_5):
                for j in range(_4):
                    scratch[_4 * i + j] = (
                        a * plane[y + i, x + j]
                        + b * plane[y + i, x + j + _2]
                        + c * plane[y + i, x + j + _4]
                        + d * plane[y + i, x + j + _6]
                    )
            a, b, c, d = _cubic(down - np.float32(whole_y))
            for i in range(_8):
                scratch[_20 + i] = (
                    a * scratch[i]
                    + b * scratch[i + _4]
                    + c * scratch[i + _8]
                    + d * scratch[i + _12]
                )
            for i in range(_4):
                warped[by, bx, _16 + i] = scratch[_20 + _2 * i]
                warped[by, bx, _20 + i] = scratch[_20 + _2 * i + _1]


@compiled(
    *("float32[:, :, :]", "float32[:, :, :]", "float32", "int64", "float32[:, :, :]")
)
def warp_features(
    features: np.ndarray,
    vectors: np.ndarray,
    scale: np.float32,
    ends: int,
    warped: np.ndarray,
) -> None:
    """Warp features linearly.

    Args:
        features: ``(h, w, C)``.
        vectors: ``(h, w, 2)``, in pixels of luma.
        scale: features in a pixel of luma.
        ends: 1 if they are zero beyond the edge, 0 if the edge goes on forever.
        warped: ``(h, w, C)``.
    """
    height, width = vectors.shape[0], vectors.shape[1]
    channels = np.uintp(features.shape[2])
    for i in range(np.uintp(height)):
        for j in range(np.uintp(width)):
            right, down = scale * vectors[i, j, _0], scale * vectors[i, j, _1]
            if right == _ZERO and down == _ZERO:
                for k in range(channels):
                    warped[i, j, k] = features[i, j, k]
                continue
            whole_x, whole_y = _floor(right), _floor(down)
            x, y = np.intp(j) + whole_x, np.intp(i) + whole_y
            x1, x2 = _inside(x, width), _inside(x + 1, width)
            y1, y2 = _inside(y, height), _inside(y + 1, height)
            right -= np.float32(whole_x)
            down -= np.float32(whole_y)
            left, up = _ONE - right, _ONE - down
            if ends:
                left *= np.float32(np.intp(x1) == x)
                right *= np.float32(np.intp(x2) == x + 1)
                up *= np.float32(np.intp(y1) == y)
                down *= np.float32(np.intp(y2) == y + 1)
            a, b, c, d = up * left, up * right, down * left, down * right
            for k in range(channels):
                warped[i, j, k] = (
                    a * features[y1, x1, k]
                    + b * features[y1, x2, k]
                    + c * features[y2, x1, k]
                    + d * features[y2, x2, k]
                )


ALL = (
    *(vectors_of_blocks, scatter_plane, scatter_chroma),
    *(warp_plane, warp_chroma, warp_features),
)


def _repeat_edges(plane: np.ndarray, pixel: np.uintp) -> None:
    """Fill the margins; a pixel has as many values."""
    height, width = np.uintp(plane.shape[0]), np.uintp(plane.shape[1])
    margin = _8 * pixel
    for y in range(_8, height - _8):
        for x in range(margin):
            plane[y, x] = plane[y, margin + x % pixel]
            end = width - margin + x
            plane[y, end] = plane[y, width - margin - pixel + x % pixel]
    for y in range(_8):
        for x in range(width):
            plane[y, x] = plane[_8, x]
            plane[height - _8 + y, x] = plane[height - _8 - _1, x]


def _place(first: np.intp, size: np.intp) -> np.uintp:
    """Index with margin of the first tap; beyond the edge all pixels are the same."""
    return np.uintp(min(max(first, -6), size) + 7)


def _inside(index: np.intp, size: np.intp) -> np.uintp:
    return np.uintp(min(max(index, 0), size - 1))


def _floor(value: np.float32) -> np.intp:
    # The library's own would be a call.
    whole = np.intp(value)
    return whole - 1 if value < np.float32(whole) else whole


def _cubic(
    fraction: np.float32,
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Weights of the four pixels around a place between the second and the third."""
    rest = _ONE - fraction
    first = _A * fraction * rest * rest
    last = _A * rest * fraction * fraction
    second = (
        (_A + np.float32(2)) * fraction - (_A + np.float32(3))
    ) * fraction * fraction + _ONE
    return first, second, _ONE - first - second - last, last
