"""How well a flow explains a frame."""

from typing import Any

import numpy as np

from streamdenoise.kernels.compiled import compiled

Index = int | np.integer[Any]

_0, _1, _4, _8 = np.uintp(0), np.uintp(1), np.uintp(4), np.uintp(8)
_ONE = np.float32(1)


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
        step: a cell has ``8 / step`` pixels a side; 1, 2, 4 or 8.
        left: ``(h, w)``, gets the difference to `then` along the flow.
        left_by_zero: ``(h, w)``, gets the difference without motion.
    """
    for i in range(np.uintp(flow.shape[0])):
        for j in range(np.uintp(flow.shape[1])):
            # A number of pixels that is known becomes one vector.
            if step == 1:
                _compare(now, then, flow, i, j, _8, left, left_by_zero)
            elif step == 2:
                _compare(now, then, flow, i, j, _4, left, left_by_zero)
            else:
                side = np.uintp(8 // step)
                _compare(now, then, flow, i, j, side, left, left_by_zero)


def _compare(
    now: np.ndarray,
    then: np.ndarray,
    flow: np.ndarray,
    i: Index,
    j: Index,
    side: Index,
    left: np.ndarray,
    left_by_zero: np.ndarray,
) -> None:
    height, width = np.intp(now.shape[0]), np.intp(now.shape[1])
    right, down = flow[i, j, _0], flow[i, j, _1]
    whole_x, whole_y = _floor(right), _floor(down)
    x, y = np.intp(side * j) + whole_x, np.intp(side * i) + whole_y
    right -= np.float32(whole_x)
    down -= np.float32(whole_y)
    up, back = _ONE - down, _ONE - right
    a, b, c, d = up * back, up * right, down * back, down * right
    still, moved = np.float32(0), np.float32(0)
    top, edge = side * i, side * j
    last = np.intp(side)
    if x >= 0 and y >= 0 and x + last < width and y + last < height:
        x1, y1 = np.uintp(x), np.uintp(y)
        for r in range(side):
            for k in range(side):
                value = np.float32(now[top + r, edge + k])
                difference = value - np.float32(then[top + r, edge + k])
                still += difference * difference
                difference = (
                    value
                    - a * np.float32(then[y1 + r, x1 + k])
                    - b * np.float32(then[y1 + r, x1 + k + _1])
                    - c * np.float32(then[y1 + r + _1, x1 + k])
                    - d * np.float32(then[y1 + r + _1, x1 + k + _1])
                )
                moved += difference * difference
    else:
        for r in range(side):
            y1 = _inside(y + np.intp(r), height)
            y2 = _inside(y + np.intp(r) + 1, height)
            for k in range(side):
                x1 = _inside(x + np.intp(k), width)
                x2 = _inside(x + np.intp(k) + 1, width)
                value = np.float32(now[top + r, edge + k])
                difference = value - np.float32(then[top + r, edge + k])
                still += difference * difference
                difference = (
                    value
                    - a * np.float32(then[y1, x1])
                    - b * np.float32(then[y1, x2])
                    - c * np.float32(then[y2, x1])
                    - d * np.float32(then[y2, x2])
                )
                moved += difference * difference
    pixels = np.float32(side * side)
    left[i, j] = moved / pixels
    left_by_zero[i, j] = still / pixels


def _inside(index: Index, size: Index) -> np.uintp:
    return np.uintp(min(max(index, 0), size - 1))


def _floor(value: np.float32) -> np.intp:
    # The library's own would be a call.
    whole = np.intp(value)
    return whole - 1 if value < np.float32(whole) else whole
