"""Searching motion: where each part of a frame is in another one, from coarse to fine.

Patches of 8x8 pixels, 4 apart, start from the vectors that were found at half the size,
or without motion, and follow the gradient (Lucas and Kanade, "An iterative image
registration technique", 1981). One that already fits costs a single look, so a still
frame takes a fraction of the time of a moving one.

All levels of both frames are in one format, see `first_level`.
"""

from typing import Any

import numpy as np

from streamdenoise.kernels.compiled import compiled

BLOCK = 4
"""Pixels from one patch to the next, and the side of the squares in a patch."""
MARGIN = 12
"""Pixels of the edge that are repeated around a level."""
SCRATCH = 10
"""Values that `search` keeps for itself; an array of that size is passed."""

Index = int | np.integer[Any]

_0, _1, _2, _3, _4, _5, _6, _7, _8, _9 = (np.uintp(i) for i in range(10))
_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0, 0.5, 1, 2))
_QUARTER = np.float32(0.25)
_PIXELS = np.float32(64)
"""Of a patch."""
_OUTSIDE = 10
"""Pixels by which a patch may leave the frame; beyond, all are the same."""

_STEPS = 4
"""Steps of a patch along the gradient, at most."""
_ALIKE = np.float32(0.1)
"""Pixels; closer vectors are not tried one after the other, and no step is shorter."""
_DAMPING = np.float32(64)
"""Squared gradient of a patch that is too flat to be followed."""
_REACH = np.float32(8)
"""Pixels that a patch may be away from where it started."""
_JOINT = np.float32(0.5)
"""Pixels; vectors of a block that are that close need no weights."""
_FLOOR = np.float32(16)
"""Squared difference of a block that says nothing."""


@compiled("uint8[:, :]", "int64", "int32[:]", "uint8[:, :]")
def reduce(frame: np.ndarray, step: int, sums: np.ndarray, small: np.ndarray) -> None:
    """Reduce a frame by a whole factor to the means of squares.

    Args:
        frame: ``(H, W)``.
        step: the factor.
        sums: ``(W,)``, a row of the kernel's own.
        small: ``(H // step, W // step)``, gets the means, rounded.
    """
    each, share = np.uintp(step), _ONE / np.float32(step * step)
    width = np.uintp(small.shape[1]) * each
    for i in range(np.uintp(small.shape[0])):
        for x in range(width):
            sums[x] = frame[each * i, x]
        for k in range(_1, each):
            for x in range(width):
                sums[x] += frame[each * i + k, x]
        for j in range(np.uintp(small.shape[1])):
            total = np.int32(0)
            for k in range(each):
                total += sums[each * j + k]
            small[i, j] = np.uint8(np.float32(total) * share + _HALF)


@compiled("uint8[:, :]", "uint8[:, :]", "float32[:, :, :]")
def first_level(now: np.ndarray, then: np.ndarray, level: np.ndarray) -> None:
    """Halve two frames.

    Args:
        now: ``(H, W)``.
        then: the same.
        level: ``(2, h + 2 * MARGIN, w + 2 * MARGIN)``, gets both, with the edge
            repeated; h and w are H / 2 and W / 2, rounded up to whole blocks.
    """
    height, width = np.uintp(now.shape[0] // 2), np.uintp(now.shape[1] // 2)
    _halve(now, _0, height, width, level[_0])
    _halve(then, _0, height, width, level[_1])
    _repeat_edges(level, height, width)


@compiled("float32[:, :, :]", "int64", "int64", "float32[:, :, :]")
def next_level(level: np.ndarray, height: int, width: int, smaller: np.ndarray) -> None:
    """Halve a level.

    Args:
        level: see `first_level`.
        height: pixels of it that are not repeated.
        width: the same.
        smaller: gets the level of half the size.
    """
    rows, columns = np.uintp(height // 2), np.uintp(width // 2)
    for each in range(_2):
        _halve(level[each], np.uintp(MARGIN), rows, columns, smaller[each])
    _repeat_edges(smaller, rows, columns)


@compiled("float32[:, :, :]", "float32[:, :, :]", "float32[:]", "float32[:, :, :]")
def search(
    level: np.ndarray, coarse: np.ndarray, scratch: np.ndarray, found: np.ndarray
) -> None:
    """Find each patch of the first frame of a level in the second one.

    Args:
        level: see `first_level`.
        coarse: ``(h, w, 2)`` vectors of the next level; none at the coarsest.
        scratch: `SCRATCH` values.
        found: gets (right, down) in pixels of the level, one vector a patch: one less
            than there are blocks, along each axis.
    """
    rows, columns = np.intp(coarse.shape[0]), np.intp(coarse.shape[1])
    s = scratch
    for i in range(np.uintp(found.shape[0])):
        for j in range(np.uintp(found.shape[1])):
            _measure(level, i, j, _ZERO, _ZERO, s)
            s[_8], s[_9] = _ZERO, _ZERO
            for k in range(_4 * np.uintp(rows > 0)):
                y = _inside(((np.intp(i) - 1) >> 1) + np.intp(k >> _1), rows)
                x = _inside(((np.intp(j) - 1) >> 1) + np.intp(k & _1), columns)
                right, down = _TWO * coarse[y, x, _0], _TWO * coarse[y, x, _1]
                if abs(right) + abs(down) < _ALIKE:
                    continue
                if abs(right - s[_8]) + abs(down - s[_9]) < _ALIKE:
                    continue
                s[_8], s[_9] = right, down
                _try(level, i, j, right, down, s)
            if j > _0:
                _try_another(level, i, j, found[i, j - _1, _0], found[i, j - _1, _1], s)
            if i > _0:
                _try_another(level, i, j, found[i - _1, j, _0], found[i - _1, j, _1], s)
            _follow(level, i, j, s)
            found[i, j, _0], found[i, j, _1] = s[_6], s[_7]


@compiled("float32[:, :, :]", "float32[:, :, :]", "float32[:, :, :]")
def blend(level: np.ndarray, found: np.ndarray, vectors: np.ndarray) -> None:
    """The mean of the vectors of all patches that a block is in.

    Args:
        level: see `first_level`.
        found: see `search`.
        vectors: ``(h, w, 2)``, gets one a block; those that fit the block better have
            more weight.
    """
    rows, columns = np.intp(found.shape[0]), np.intp(found.shape[1])
    for i in range(np.uintp(vectors.shape[0])):
        y1, y2 = _inside(np.intp(i) - 1, rows), _inside(np.intp(i), rows)
        for j in range(np.uintp(vectors.shape[1])):
            x1, x2 = _inside(np.intp(j) - 1, columns), _inside(np.intp(j), columns)
            spread = _ZERO
            for axis in range(_2):
                a, b = found[y1, x1, axis], found[y1, x2, axis]
                c, d = found[y2, x1, axis], found[y2, x2, axis]
                spread += max(a, b, c, d) - min(a, b, c, d)
                vectors[i, j, axis] = _QUARTER * (a + b + c + d)
            if spread < _JOINT:
                continue
            total, right, down = _ZERO, _ZERO, _ZERO
            for k in range(_4):
                y, x = y2 if k >> _1 else y1, x2 if k & _1 else x1
                weight = _ONE / (
                    _difference(level, i, j, found[y, x, _0], found[y, x, _1]) + _FLOOR
                )
                total += weight
                right += weight * found[y, x, _0]
                down += weight * found[y, x, _1]
            vectors[i, j, _0], vectors[i, j, _1] = right / total, down / total


ALL = (reduce, first_level, next_level, search, blend)


def _halve(
    frame: np.ndarray, first: Index, height: Index, width: Index, half: np.ndarray
) -> None:
    margin = np.uintp(MARGIN)
    for y in range(height):
        y1 = first + _2 * y
        for x in range(width):
            x1 = first + _2 * x
            half[margin + y, margin + x] = _QUARTER * (
                np.float32(frame[y1, x1])
                + np.float32(frame[y1, x1 + _1])
                + np.float32(frame[y1 + _1, x1])
                + np.float32(frame[y1 + _1, x1 + _1])
            )


def _repeat_edges(level: np.ndarray, height: Index, width: Index) -> None:
    margin = np.uintp(MARGIN)
    bottom, end = margin + height, margin + width
    for each in range(_2):
        for y in range(margin, bottom):
            for x in range(margin):
                level[each, y, x] = level[each, y, margin]
            for x in range(end, np.uintp(level.shape[2])):
                level[each, y, x] = level[each, y, end - _1]
        for y in range(margin):
            for x in range(np.uintp(level.shape[2])):
                level[each, y, x] = level[each, margin, x]
        for y in range(bottom, np.uintp(level.shape[1])):
            for x in range(np.uintp(level.shape[2])):
                level[each, y, x] = level[each, bottom - _1, x]


def _try_another(
    level: np.ndarray,
    i: Index,
    j: Index,
    right: np.float32,
    down: np.float32,
    s: np.ndarray,
) -> None:
    """Move to the vector of a neighbor if it is another one, and better."""
    if abs(right - s[_6]) + abs(down - s[_7]) > _JOINT:
        _try(level, i, j, right, down, s)


def _follow(level: np.ndarray, i: Index, j: Index, s: np.ndarray) -> None:
    """Follow the gradient from the vector in `s` as long as that helps."""
    start_x, start_y = s[_6], s[_7]
    for _ in range(_STEPS):
        a, b, c = s[_0] + _DAMPING, s[_1], s[_2] + _DAMPING
        determinant = a * c - b * b
        right = (c * s[_3] - b * s[_4]) / determinant
        down = (a * s[_4] - b * s[_3]) / determinant
        is_last = right * right + down * down < _ALIKE * _ALIKE
        right += s[_6]
        down += s[_7]
        if is_last:
            s[_6], s[_7] = right, down
            break
        if abs(right - start_x) > _REACH or abs(down - start_y) > _REACH:
            break
        if not _try(level, i, j, right, down, s):
            break


def _try(
    level: np.ndarray,
    i: Index,
    j: Index,
    right: np.float32,
    down: np.float32,
    s: np.ndarray,
) -> bool:
    """Move to a vector if it is better; return whether it is."""
    a, b, c, d, e, best, x, y = s[_0], s[_1], s[_2], s[_3], s[_4], s[_5], s[_6], s[_7]
    _measure(level, i, j, right, down, s)
    if s[_5] < best:
        return True
    s[_0], s[_1], s[_2], s[_3], s[_4], s[_5], s[_6], s[_7] = a, b, c, d, e, best, x, y
    return False


def _measure(
    level: np.ndarray,
    i: Index,
    j: Index,
    right: np.float32,
    down: np.float32,
    s: np.ndarray,
) -> None:
    """Compare a patch along a vector.

    Args:
        level: see `first_level`.
        i: row of the patch.
        j: its column.
        right: vector.
        down: the same.
        s: gets the sums of the products of gradients (0 to 2), of their products with
            the difference (3, 4), and of the squared difference (5), each without its
            mean, as the light may have changed; and the vector (6, 7).
    """
    whole_x, whole_y = _floor(right), _floor(down)
    fx, fy = right - np.float32(whole_x), down - np.float32(whole_y)
    x, y = _place(j, whole_x, level.shape[2]), _place(i, whole_y, level.shape[1])
    back, up = _ONE - fx, _ONE - fy
    top, edge = _4 * i + np.uintp(MARGIN), _4 * j + np.uintp(MARGIN)
    r, gx, gy, rr = _ZERO, _ZERO, _ZERO, _ZERO
    xx, xy, yy, xr, yr = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    # Columns first: then the compiler makes one vector of each row.
    for q in range(_8):
        for p in range(_8):
            a, b = level[_1, y + p, x + q], level[_1, y + p, x + q + _1]
            c, d = level[_1, y + p + _1, x + q], level[_1, y + p + _1, x + q + _1]
            upper, lower = a * back + b * fx, c * back + d * fx
            difference = level[_0, top + p, edge + q] - upper * up - lower * fy
            slope, rise = (b - a) * up + (d - c) * fy, lower - upper
            r += difference
            gx += slope
            gy += rise
            rr += difference * difference
            xx += slope * slope
            xy += slope * rise
            yy += rise * rise
            xr += slope * difference
            yr += rise * difference
    s[_0], s[_1] = xx - gx * gx / _PIXELS, xy - gx * gy / _PIXELS
    s[_2], s[_3] = yy - gy * gy / _PIXELS, xr - gx * r / _PIXELS
    s[_4], s[_5] = yr - gy * r / _PIXELS, rr - r * r / _PIXELS
    s[_6], s[_7] = right, down


def _difference(
    level: np.ndarray, i: Index, j: Index, right: np.float32, down: np.float32
) -> np.float32:
    """Squared difference of a block along a vector."""
    whole_x, whole_y = _floor(right), _floor(down)
    fx, fy = right - np.float32(whole_x), down - np.float32(whole_y)
    x, y = _place(j, whole_x, level.shape[2]), _place(i, whole_y, level.shape[1])
    back, up = _ONE - fx, _ONE - fy
    top, edge = _4 * i + np.uintp(MARGIN), _4 * j + np.uintp(MARGIN)
    total = _ZERO
    for q in range(_4):
        for p in range(_4):
            a, b = level[_1, y + p, x + q], level[_1, y + p, x + q + _1]
            c, d = level[_1, y + p + _1, x + q], level[_1, y + p + _1, x + q + _1]
            upper, lower = a * back + b * fx, c * back + d * fx
            difference = level[_0, top + p, edge + q] - upper * up - lower * fy
            total += difference * difference
    return total


def _place(number: Index, whole: Index, size: Index) -> np.uintp:
    """First pixel of a patch that is moved, no farther than the margin allows."""
    inner = np.intp(size) - 2 * MARGIN
    first = 4 * np.intp(number) + np.intp(whole)
    return np.uintp(min(max(first, -_OUTSIDE), inner + _OUTSIDE - 8) + MARGIN)


def _inside(index: Index, size: Index) -> np.uintp:
    return np.uintp(min(max(index, 0), size - 1))


def _floor(value: np.float32) -> np.intp:
    # The library's own would be a call.
    whole = np.intp(value)
    return whole - 1 if value < np.float32(whole) else whole
