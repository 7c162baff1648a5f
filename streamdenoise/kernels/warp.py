"""Warping a state in blocks: from one vector a cell to the blocks that moved.

All pixels of a block share one vector, as in the motion compensation of codecs, so the
cubic cubic filter is separable, and each block takes two short passes in registers.

It is done in place, and costs only what moves: `mark_sources` finds what is read, which
is copied, and then the blocks that moved are written. Other blocks are not touched.

Indices are unsigned: with signed ones Numba would test each for being negative, and few
loops would become vectors.
"""

from typing import Any

import numpy as np

from streamdenoise.kernels.compiled import compiled

MARGIN = 8
"""Pixels of the edge that are repeated around a plane."""

SCRATCH = 28
"""Values that the kernels keep for themselves; an array of that size is passed."""

Index = int | np.integer[Any]

_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uintp(i) for i in range(9))
_12, _16, _20, _32 = np.uintp(12), np.uintp(16), np.uintp(20), np.uintp(32)
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


@compiled("float32[:, :, :]", "float32[:, :, :]", "uint8[:, :]", "int64[:]")
def mark_sources(
    cells: np.ndarray, vectors: np.ndarray, needed: np.ndarray, moved: np.ndarray
) -> None:
    """Mark the cells that blocks which move are made of.

    Args:
        cells: vectors, ``(h, w, 2)``.
        vectors: those of blocks, ``(2h, 2w, 2)``.
        needed: ``(h, w)``; becomes 1 or 0. All are 1 if more than half of the cells
            move, because then that takes less time than to find out.
        moved: ``(1,)``; becomes the number of cells that move.
    """
    height, width = cells.shape[0], cells.shape[1]
    count = 0
    for i in range(np.uintp(height)):
        for j in range(np.uintp(width)):
            count += (cells[i, j, _0] != _ZERO) | (cells[i, j, _1] != _ZERO)
    moved[_0] = count
    is_most = 2 * count > height * width
    for i in range(np.uintp(height)):
        for j in range(np.uintp(width)):
            needed[i, j] = is_most
    if is_most:
        return
    for i in range(np.uintp(2 * height)):
        for j in range(np.uintp(2 * width)):
            right, down = vectors[i, j, _0], vectors[i, j, _1]
            if right == _ZERO and down == _ZERO:
                continue
            # Filters of blocks reach 4 pixels to the left, and 8 to the right.
            x, y = 4 * np.intp(j) + _floor(right), 4 * np.intp(i) + _floor(down)
            x1, x2 = _inside((x - 4) >> 3, width), _inside((x + 8) >> 3, width)
            y1, y2 = _inside((y - 4) >> 3, height), _inside((y + 8) >> 3, height)
            for y in range(y1, y2 + _1):
                for x in range(x1, x2 + _1):
                    needed[y, x] = 1
    for i in range(np.uintp(height)):
        for j in range(np.uintp(width)):
            right, down = cells[i, j, _0], cells[i, j, _1]
            if right == _ZERO and down == _ZERO:
                continue
            x, y = np.intp(j) + (_floor(right) >> 3), np.intp(i) + (_floor(down) >> 3)
            x1, x2 = _inside(x, width), _inside(x + 1, width)
            y1, y2 = _inside(y, height), _inside(y + 1, height)
            needed[y1, x1] = needed[y1, x2] = needed[y2, x1] = needed[y2, x2] = 1


@compiled("float32[:, :, :]", "uint64", "uint8[:, :]", "float32[:, :]")
def copy_plane(
    blocks: np.ndarray, first: Index, needed: np.ndarray, plane: np.ndarray
) -> None:
    """Copy 16 channels of blocks, from `first` on, into a plane with margins."""
    for by in range(np.uintp(blocks.shape[0])):
        for bx in range(np.uintp(blocks.shape[1])):
            if needed[by // _2, bx // _2]:
                _copy_pixels(blocks, by, bx, first, plane)
    _repeat_edges(plane, _1)


@compiled("float32[:, :, :]", "uint8[:, :]", "float32[:, :]", "float32[:, :]")
def copy_yuv(
    blocks: np.ndarray, needed: np.ndarray, luma: np.ndarray, chroma: np.ndarray
) -> None:
    """Copy 24 channels of blocks into two planes with margins; chroma is in pairs."""
    for by in range(np.uintp(blocks.shape[0])):
        for bx in range(np.uintp(blocks.shape[1])):
            if needed[by // _2, bx // _2]:
                _copy_pixels(blocks, by, bx, _0, luma)
                for i in range(_2):
                    y, x, c = _8 + _2 * by + i, _16 + _4 * bx, _16 + _2 * i
                    chroma[y, x] = blocks[by, bx, c]
                    chroma[y, x + _1] = blocks[by, bx, c + _4]
                    chroma[y, x + _2] = blocks[by, bx, c + _1]
                    chroma[y, x + _3] = blocks[by, bx, c + _5]
    _repeat_edges(luma, _1)
    _repeat_edges(chroma, _2)


@compiled("float32[:, :, :]", "uint8[:, :]", "float32[:, :, :]")
def copy_features(features: np.ndarray, needed: np.ndarray, copy: np.ndarray) -> None:
    """Copy what is needed of features of blocks or cells."""
    height, width = np.uintp(features.shape[0]), np.uintp(features.shape[1])
    side = height // np.uintp(needed.shape[0])
    run = side * np.uintp(features.shape[2])
    for y in range(height):
        for x in range(width // side):
            if needed[y // side, x]:
                for k in range(run):  # a row of a cell, whatever its number of blocks
                    copy[y, side * x, k] = features[y, side * x, k]


@compiled(
    *("float32[:, :]", "float32[:, :, :]", "uint64"),
    *("float32[:]", "float32[:, :, :]"),
)
def warp_plane(
    plane: np.ndarray,
    vectors: np.ndarray,
    first: Index,
    scratch: np.ndarray,
    blocks: np.ndarray,
) -> None:
    """Warp 16 channels of blocks, from `first` on.

    Args:
        plane: their copy, see `copy_plane`.
        vectors: ``(h, w, 2)``, in pixels of the plane.
        first: the first of the channels.
        scratch: `SCRATCH` values.
        blocks: ``(h, w, C)``; only what moves is written.
    """
    for by in range(np.uintp(blocks.shape[0])):
        for bx in range(np.uintp(blocks.shape[1])):
            right, down = vectors[by, bx, _0], vectors[by, bx, _1]
            if right != _ZERO or down != _ZERO:
                _warp_pixels(plane, right, down, by, bx, first, scratch, blocks)


@compiled(
    *("float32[:, :]", "float32[:, :]", "float32[:, :, :]"),
    *("float32[:]", "float32[:, :, :]"),
)
def warp_yuv(
    luma: np.ndarray,
    chroma: np.ndarray,
    vectors: np.ndarray,
    scratch: np.ndarray,
    blocks: np.ndarray,
) -> None:
    """Warp all channels of blocks.

    Args:
        luma: copy, see `copy_yuv`.
        chroma: the same.
        vectors: ``(h, w, 2)``, in pixels of luma.
        scratch: `SCRATCH` values.
        blocks: ``(h, w, 24)``; only what moves is written.
    """
    for by in range(np.uintp(blocks.shape[0])):
        for bx in range(np.uintp(blocks.shape[1])):
            right, down = vectors[by, bx, _0], vectors[by, bx, _1]
            if right != _ZERO or down != _ZERO:
                _warp_pixels(luma, right, down, by, bx, _0, scratch, blocks)
                right, down = _HALF * right, _HALF * down
                _warp_chroma(chroma, right, down, by, bx, scratch, blocks)


@compiled(
    *("float32[:]", "float32[:]", "float32[:, :, :]", "float32", "int64"),
    *("float32[:]", "float32[:]"),
)
def warp_features(
    features: np.ndarray,
    frames: np.ndarray,
    vectors: np.ndarray,
    scale: float,
    copies: int,
    warped: np.ndarray,
    warped_frames: np.ndarray,
) -> None:
    """Warp features and numbers of frames linearly.

    Args:
        features: those of ``(h, w, C)``, in a row; the edge goes on forever.
        frames: those of ``(h, w, F)``, in a row; zero beyond the edge. F may be 0.
        vectors: ``(h, w, 2)``, in pixels of luma.
        scale: features in a pixel of luma.
        copies: whether to copy what does not move; otherwise it is not written.
        warped: gets the features.
        warped_frames: gets the frames.
    """
    height, width = vectors.shape[0], vectors.shape[1]
    places = np.uintp(height * width)
    channels = np.uintp(features.shape[0]) // places
    counts = np.uintp(frames.shape[0]) // places
    for i in range(np.uintp(height)):
        for j in range(np.uintp(width)):
            right, down = scale * vectors[i, j, _0], scale * vectors[i, j, _1]
            place = i * np.uintp(width) + j
            if right == _ZERO and down == _ZERO:
                if copies:
                    for k in range(place * channels, (place + _1) * channels):
                        warped[k] = features[k]
                    for k in range(place * counts, (place + _1) * counts):
                        warped_frames[k] = frames[k]
                continue
            whole_x, whole_y = _floor(right), _floor(down)
            x, y = np.intp(j) + whole_x, np.intp(i) + whole_y
            right -= np.float32(whole_x)
            down -= np.float32(whole_y)
            left, up = _ONE - right, _ONE - down
            x1, x2 = _inside(x, width), _inside(x + 1, width)
            y1, y2 = _inside(y, height), _inside(y + 1, height)
            first = y1 * np.uintp(width) + x1
            aside, below = x2 - x1, (y2 - y1) * np.uintp(width)
            a, b, c, d = up * left, up * right, down * left, down * right
            # A number of channels that is known becomes a few vectors.
            if channels == _16:
                _mix(features, first, aside, below, a, b, c, d, _16, place, warped)
            elif channels == _32:
                _mix(features, first, aside, below, a, b, c, d, _32, place, warped)
            else:
                _mix(features, first, aside, below, a, b, c, d, channels, place, warped)
            if counts == _0:
                continue
            left *= np.float32(np.intp(x1) == x)
            right *= np.float32(np.intp(x2) == x + 1)
            up *= np.float32(np.intp(y1) == y)
            down *= np.float32(np.intp(y2) == y + 1)
            a, b, c, d = up * left, up * right, down * left, down * right
            if counts == _4:
                _mix(frames, first, aside, below, a, b, c, d, _4, place, warped_frames)
                continue
            for k in range(counts):
                p = first * counts + k
                warped_frames[place * counts + k] = (
                    a * frames[p]
                    + b * frames[p + aside * counts]
                    + c * frames[p + below * counts]
                    + d * frames[p + (below + aside) * counts]
                )


ALL = (
    *(vectors_of_blocks, mark_sources, copy_plane, copy_yuv, copy_features),
    *(warp_plane, warp_yuv, warp_features),
)


def _mix(
    source: np.ndarray,
    first: Index,
    aside: Index,
    below: Index,
    a: np.float32,
    b: np.float32,
    c: np.float32,
    d: np.float32,
    channels: Index,
    place: Index,
    target: np.ndarray,
) -> None:
    """The weighted mean of four places, of which `first` is the upper left one."""
    p = first * channels
    q, r, t = p + aside * channels, p + below * channels, place * channels
    s = r + aside * channels
    for k in range(channels):
        target[t + k] = (
            a * source[p + k]
            + b * source[q + k]
            + c * source[r + k]
            + d * source[s + k]
        )


def _copy_pixels(
    blocks: np.ndarray, by: Index, bx: Index, first: Index, plane: np.ndarray
) -> None:
    for i in range(_4):
        y, x, c = _8 + _4 * by + i, _8 + _4 * bx, first + _4 * i
        for j in range(_4):
            plane[y, x + j] = blocks[by, bx, c + j]


def _warp_pixels(
    plane: np.ndarray,
    right: np.float32,
    down: np.float32,
    by: Index,
    bx: Index,
    first: Index,
    scratch: np.ndarray,
    blocks: np.ndarray,
) -> None:
    """4x4 pixels, rows first."""
    whole_x, whole_y = _floor(right), _floor(down)
    x = _place(4 * np.intp(bx) + whole_x, 4 * blocks.shape[1])
    y = _place(4 * np.intp(by) + whole_y, 4 * blocks.shape[0])
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
        blocks[by, bx, first + i] = (
            a * scratch[i]
            + b * scratch[i + _4]
            + c * scratch[i + _8]
            + d * scratch[i + _12]
        )


def _warp_chroma(
    plane: np.ndarray,
    right: np.float32,
    down: np.float32,
    by: Index,
    bx: Index,
    scratch: np.ndarray,
    blocks: np.ndarray,
) -> None:
    """2x2 pairs, rows first."""
    whole_x, whole_y = _floor(right), _floor(down)
    x = _2 * _place(2 * np.intp(bx) + whole_x, 2 * blocks.shape[1])
    y = _place(2 * np.intp(by) + whole_y, 2 * blocks.shape[0])
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
        blocks[by, bx, _16 + i] = scratch[_20 + _2 * i]
        blocks[by, bx, _20 + i] = scratch[_20 + _2 * i + _1]


def _repeat_edges(plane: np.ndarray, pixel: Index) -> None:
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


def _place(first: Index, size: int) -> np.uintp:
    """Index with margin of the first tap; beyond the edge all pixels are the same."""
    return np.uintp(min(max(first, -6), size) + 7)


def _inside(index: Index, size: int) -> np.uintp:
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
