"""Where a frame stands still: what the motion gate found, summed up over tiles."""

import numpy as np

from streamdenoise.kernels.compiled import compiled

TILE = 16
"""Side of a tile in blocks."""

_WOKE = np.float32(1.5)
"""A gain this many times that of a past which is trusted in full."""
_YOUNG = np.float32(0.2)
"""Gain above which the mean still changes too fast to keep anything."""
_CHANGES = 24
"""Place of the changes among the inputs of the head."""
_BLUE, _RED = 16, 20
"""Places of the means of the color planes among the coefficients."""
_ZERO, _QUARTER, _ONE = np.float32(0.0), np.float32(0.25), np.float32(1.0)
_ROWS = "float32[:, :]"


@compiled(*(_ROWS, _ROWS, "uint8[:, :]", *5 * [_ROWS], "int64", "int64"))
def look_at_tiles(
    gain: np.ndarray,
    frames: np.ndarray,
    head: np.ndarray,
    kept: np.ndarray,
    woken: np.ndarray,
    change: np.ndarray,
    fresh: np.ndarray,
    scratch: np.ndarray,
    begin: np.int64,
    end: np.int64,
) -> None:
    """Let the past fade, and find the tiles in which something happened.

    What a new frame takes out of the mean takes its noise along. A residual fades twice
    as fast as that: it was made for the noise in the mean, and other noise comes in.

    Args:
        gain: ``(h, w * 4)``, share of the new frame in the running mean.
        frames: ``(h, w * 4)``, that the mean consisted of.
        head: ``(h, w * n)``, inputs of the head, see `float_part.fuse`.
        kept: ``(h, w)``, share of the last residual that still belongs to the noise of
            the mean; reduced by what the new frame replaces.
        woken: ``(h / 16, w / 16)``, written: share of the blocks whose past is short
            or not trusted.
        change: ``(h / 16, w / 16 * 3)``, written: means over each tile of how much the
            three planes have changed, in levels of the head.
        fresh: ``(h / 16, w / 16)``, written: mean of `kept`.
        scratch: not used.
        begin: first row of tiles.
        end: row after the last one.
    """
    height, width = kept.shape
    seen = head.shape[1] // width
    for tile_y in range(begin, end):
        for tile_x in range(woken.shape[1]):
            woken[tile_y, tile_x] = fresh[tile_y, tile_x] = _ZERO
            for plane in range(3):
                change[tile_y, 3 * tile_x + plane] = _ZERO
        y_end = min((tile_y + 1) * TILE, height)
        for y in range(tile_y * TILE, y_end):
            for tile_x in range(woken.shape[1]):
                x = tile_x * TILE
                x_end = min(x + TILE, width)
                # Of slices, unlike of rows, indices are known not to be negative.
                shares, past = gain[y, 4 * x : 4 * x_end], frames[y, 4 * x : 4 * x_end]
                left, changes = kept[y, x:x_end], head[y, seen * x + _CHANGES :]
                count = total = light = blue = red = _ZERO
                for i in range(x_end - x):
                    g0, g1 = shares[4 * i], shares[4 * i + 1]
                    g2, g3 = shares[4 * i + 2], shares[4 * i + 3]
                    woke = g0 * (_ONE + past[4 * i]) > _WOKE
                    woke |= g1 * (_ONE + past[4 * i + 1]) > _WOKE
                    woke |= g2 * (_ONE + past[4 * i + 2]) > _WOKE
                    woke |= g3 * (_ONE + past[4 * i + 3]) > _WOKE
                    mean = _QUARTER * (g0 + g1 + g2 + g3)
                    woke |= mean > _YOUNG
                    count += np.float32(woke)
                    left[i] -= left[i] * min(mean + mean, _ONE)
                    total += left[i]
                    light += np.float32(changes[seen * i])
                    blue += np.float32(changes[seen * i + _BLUE])
                    red += np.float32(changes[seen * i + _RED])
                woken[tile_y, tile_x] += count
                fresh[tile_y, tile_x] += total
                change[tile_y, 3 * tile_x] += light
                change[tile_y, 3 * tile_x + 1] += blue
                change[tile_y, 3 * tile_x + 2] += red
        rows = y_end - tile_y * TILE
        for tile_x in range(woken.shape[1]):
            columns = min((tile_x + 1) * TILE, width) - tile_x * TILE
            share = _ONE / np.float32(rows * columns)
            woken[tile_y, tile_x] *= share
            fresh[tile_y, tile_x] *= share
            for plane in range(3):
                change[tile_y, 3 * tile_x + plane] *= share
