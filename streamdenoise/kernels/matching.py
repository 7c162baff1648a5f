"""How well a flow explains a frame, and what of it is kept."""

from typing import Any

import numpy as np

from streamdenoise.kernels.compiled import compiled

Index = int | np.integer[Any]

_0, _1, _2, _4, _8 = (np.uintp(i) for i in (0, 1, 2, 4, 8))
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@compiled("float32[:, :, :]", "int64", "float32", "float32", "float32[:, :, :]")
def flow_of_blocks(
    vectors: np.ndarray, blocks: int, scale: float, dead_zone: float, flow: np.ndarray
) -> None:
    """Interpolate a flow.

    Args:
        vectors: ``(h, w, 2)``, one a block.
        blocks: cells along the side of a block.
        scale: what vectors are multiplied by.
        dead_zone: length (right and down together) up to which a vector becomes zero.
        flow: ``(H, W, 2)``, gets one vector a cell.
    """
    rows, columns = np.intp(vectors.shape[0]), np.intp(vectors.shape[1])
    share = _ONE / np.float32(blocks)
    for i in range(np.uintp(flow.shape[0])):
        y = (np.float32(i) + _HALF) * share - _HALF
        above = _floor(y)
        y -= np.float32(above)
        y1, y2 = _inside(above, rows), _inside(above + 1, rows)
        for j in range(np.uintp(flow.shape[1])):
            x = (np.float32(j) + _HALF) * share - _HALF
            before = _floor(x)
            x -= np.float32(before)
            x1, x2 = _inside(before, columns), _inside(before + 1, columns)
            for axis in range(_2):
                upper = (_ONE - x) * vectors[y1, x1, axis] + x * vectors[y1, x2, axis]
                lower = (_ONE - x) * vectors[y2, x1, axis] + x * vectors[y2, x2, axis]
                flow[i, j, axis] = scale * ((_ONE - y) * upper + y * lower)
            if abs(flow[i, j, _0]) + abs(flow[i, j, _1]) <= dead_zone:
                flow[i, j, _0] = flow[i, j, _1] = _ZERO


@compiled(
    *("uint8[:, :]", "uint8[:, :]", "float32[:, :, :]", "int64"),
    *("float32[:, :]", "float32[:, :]"),
)
def differences(
    now: np.ndarray,
    then: np.ndarray,
    flow: np.ndarray,
    step: int,
    left: np.ndarray,
    left_by_zero: np.ndarray,
) -> None:
    """Mean squared difference of each cell to where it was, and to where it is.

    Args:
        now: ``(H, W)``.
        then: ``(H, W)``.
        flow: ``(h, w, 2)``, (right, down) in pixels of `now`.
        step: a cell has ``8 / step`` pixels a side, rounded to whole ones, or one.
        left: ``(h, w)``, gets the difference to `then` along the flow.
        left_by_zero: ``(h, w)``, gets the difference without motion.
    """
    for i in range(np.uintp(flow.shape[0])):
        for j in range(np.uintp(flow.shape[1])):
            # A number of pixels that is known becomes one vector.
            if step == 2:
                y, x = _4 * i, _4 * j
                _compare(now, then, flow, i, j, y, x, _4, _4, left, left_by_zero)
            else:
                each = np.uintp(step)
                y = min(_8 * i // each, np.uintp(now.shape[0] - 1))
                x = min(_8 * j // each, np.uintp(now.shape[1] - 1))
                rows = max(_8 * (i + _1) // each, y + _1) - y
                columns = max(_8 * (j + _1) // each, x + _1) - x
                _compare(now, then, flow, i, j, y, x, rows, columns, left, left_by_zero)


@compiled("float32[:, :]", "float32", "float32[:, :]")
def sum_of_nine(values: np.ndarray, more: float, sums: np.ndarray) -> None:
    """Sum 3x3 values around each, and `more` for each; the edge is repeated."""
    height, width = np.intp(values.shape[0]), np.intp(values.shape[1])
    nine = np.float32(9) * more
    for i in range(np.uintp(height)):
        y1, y2 = _inside(np.intp(i) - 1, height), _inside(np.intp(i) + 1, height)
        for j in range(np.uintp(width)):
            x1, x2 = _inside(np.intp(j) - 1, width), _inside(np.intp(j) + 1, width)
            sums[i, j] = nine + _sum(values, y1, i, y2, x1, j, x2)


@compiled(
    *("float32[:, :]", "float32[:, :]", "float32", "float32"),
    *("float32[:, :, :]", "int64[:]"),
)
def keep_what_is_worth_it(
    left: np.ndarray,
    left_by_zero: np.ndarray,
    worth: float,
    clear: float,
    flow: np.ndarray,
    kept: np.ndarray,
) -> None:
    """Make those vectors zero that explain too little.

    Args:
        left: ``(h, w)`` difference along the flow, of 3x3 cells: one alone has too few
            pixels to tell motion from noise.
        left_by_zero: the same without motion.
        worth: share of the difference without motion that may be left, in 3x3 cells as
            in 9x9 cells: vectors around one that was fitted to noise fit noise, too.
        clear: share that may be left in 3x3 cells where the others do not move.
        flow: ``(h, w, 2)``.
        kept: ``(1,)``, gets the number of vectors that are not zero.
    """
    height, width = np.intp(left.shape[0]), np.intp(left.shape[1])
    count = 0
    for i in range(np.uintp(height)):
        y1, y2 = _inside(np.intp(i) - 3, height), _inside(np.intp(i) + 3, height)
        for j in range(np.uintp(width)):
            keeps = False
            if flow[i, j, _0] != _ZERO or flow[i, j, _1] != _ZERO:
                keeps = left[i, j] < clear * left_by_zero[i, j]
                if not keeps and left[i, j] < worth * left_by_zero[i, j]:
                    x1 = _inside(np.intp(j) - 3, width)
                    x2 = _inside(np.intp(j) + 3, width)
                    around = _sum(left, y1, i, y2, x1, j, x2)
                    keeps = around < worth * _sum(left_by_zero, y1, i, y2, x1, j, x2)
            if keeps:
                count += 1
            else:
                flow[i, j, _0] = flow[i, j, _1] = _ZERO
    kept[_0] = count


ALL = (flow_of_blocks, differences, sum_of_nine, keep_what_is_worth_it)


def _compare(
    now: np.ndarray,
    then: np.ndarray,
    flow: np.ndarray,
    i: Index,
    j: Index,
    top: Index,
    edge: Index,
    rows: Index,
    columns: Index,
    left: np.ndarray,
    left_by_zero: np.ndarray,
) -> None:
    height, width = np.intp(now.shape[0]), np.intp(now.shape[1])
    pixels = np.float32(rows * columns)
    still, moved = _ZERO, _ZERO
    for r in range(rows):
        for k in range(columns):
            difference = np.float32(now[top + r, edge + k]) - np.float32(
                then[top + r, edge + k]
            )
            still += difference * difference
    left[i, j] = left_by_zero[i, j] = still / pixels
    right, down = flow[i, j, _0], flow[i, j, _1]
    if right == _ZERO and down == _ZERO:
        return
    whole_x, whole_y = _floor(right), _floor(down)
    x, y = np.intp(edge) + whole_x, np.intp(top) + whole_y
    right -= np.float32(whole_x)
    down -= np.float32(whole_y)
    up, back = _ONE - down, _ONE - right
    a, b, c, d = up * back, up * right, down * back, down * right
    within_x = x >= 0 and x + np.intp(columns) < width
    if within_x and y >= 0 and y + np.intp(rows) < height:
        x1, y1 = np.uintp(x), np.uintp(y)
        for r in range(rows):
            for k in range(columns):
                difference = (
                    np.float32(now[top + r, edge + k])
                    - a * np.float32(then[y1 + r, x1 + k])
                    - b * np.float32(then[y1 + r, x1 + k + _1])
                    - c * np.float32(then[y1 + r + _1, x1 + k])
                    - d * np.float32(then[y1 + r + _1, x1 + k + _1])
                )
                moved += difference * difference
    else:
        for r in range(rows):
            y1 = _inside(y + np.intp(r), height)
            y2 = _inside(y + np.intp(r) + 1, height)
            for k in range(columns):
                x1 = _inside(x + np.intp(k), width)
                x2 = _inside(x + np.intp(k) + 1, width)
                difference = (
                    np.float32(now[top + r, edge + k])
                    - a * np.float32(then[y1, x1])
                    - b * np.float32(then[y1, x2])
                    - c * np.float32(then[y2, x1])
                    - d * np.float32(then[y2, x2])
                )
                moved += difference * difference
    left[i, j] = moved / pixels


def _sum(
    values: np.ndarray, y1: Index, y: Index, y2: Index, x1: Index, x: Index, x2: Index
) -> np.float32:
    return (
        (values[y1, x1] + values[y1, x] + values[y1, x2])
        + (values[y, x1] + values[y, x] + values[y, x2])
        + (values[y2, x1] + values[y2, x] + values[y2, x2])
    )


def _inside(index: Index, size: Index) -> np.uintp:
    return np.uintp(min(max(index, 0), size - 1))


def _floor(value: np.float32) -> np.intp:
    # The library's own would be a call.
    whole = np.intp(value)
    return whole - 1 if value < np.float32(whole) else whole
