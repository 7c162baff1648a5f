"""Global motion: where the whole picture went since the last frame.

Moving cameras would keep the network from using the past, as nothing stays in its
place. One shift of the whole picture a frame is cheap to find, by phase correlation
(Kuglin and Hines, "The phase correlation image alignment method", 1975), and the state
moves with it. What moves otherwise is left to the network's gate.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from streamdenoise.blocks import block_channels, cosine_basis, mean_channels

_DEAD_ZONE = 0.12
"""Shifts below this, in pixels, are not worth an interpolation."""
_MIN_PEAK = 12.0
"""Least height of the correlation, in stds of its surface: noise alone reaches 7,
real motion 20 and more."""
_WORTH = -0.03
"""Mean change of a cell's log energy of differences that a shift must bring. Cells
count alike, so that a large thing that moves does not take a still scene with it."""
_MIN_SIDE = 16
_SHORT_SIDE = 160
"""The search is done at about this size."""


class GlobalMotion:
    """Estimates the shift between consecutive frames of one stream."""

    def __init__(self) -> None:
        self._window = np.zeros((0, 0), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: np.ndarray | None = None
        self._last_spectrum: np.ndarray | None = None

    def update(self, luma: np.ndarray, peak: int) -> tuple[float, float]:
        """Estimate the motion from the last frame to this one.

        Args:
            luma: ``(H, W)`` ``uint8`` or ``uint16``.
            peak: full scale, 255 or 1023.

        Returns:
            (down, right) in pixels, such that ``frame(y, x)`` is about
            ``last(y - down, x - right)``; (0, 0) for a first frame, no motion, or none
            that explains the change.
        """
        step = max(1, min(luma.shape) // _SHORT_SIDE)
        small = _reduce(luma, peak, step)
        last, last_spectrum = self._last, self._last_spectrum
        if min(small.shape) < _MIN_SIDE:
            return 0.0, 0.0
        if self._window.shape != small.shape:
            self._window = np.outer(*(np.hanning(n) for n in small.shape)).astype(
                np.float32
            )
        spectrum = np.fft.rfft2((small - small.mean()) * self._window)
        self._last, self._last_spectrum = small, spectrum
        if last is None or last.shape != small.shape or last_spectrum is None:
            return 0.0, 0.0
        cross = spectrum * np.conj(last_spectrum)
        surface = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-12), small.shape)
        if surface.max() <= _MIN_PEAK * surface.std():
            return 0.0, 0.0
        down, right = _peak(surface)
        inner = _overlap(small.shape, down, right)
        if small[inner].size < small.size / 4:
            return 0.0, 0.0
        down, right = _refine(last, small, inner, down, right)
        moved = translate(last, down, right, 6)
        gain = _log_energy(small - moved, inner) - _log_energy(small - last, inner)
        small_move = (abs(down) + abs(right)) * step < _DEAD_ZONE
        if small_move or gain.mean() > _WORTH:
            return 0.0, 0.0
        return down * step, right * step


def _reduce(luma: np.ndarray, peak: int, step: int) -> np.ndarray:
    """Means of `step` x `step` pixels in [0, 1]: fewer and less noisy."""
    height, width = (n // step for n in luma.shape)
    cropped = luma[: height * step, : width * step]
    small = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA)
    # Blurred, so that interpolation does not look better than none by blurring noise.
    return cv2.GaussianBlur(small.astype(np.float32) * np.float32(1 / peak), (3, 3), 0)


def _peak(surface: np.ndarray) -> tuple[float, float]:
    """Place of the maximum, refined by the centroid of its 5x5 neighbourhood."""
    rows, columns = surface.shape
    row, column = divmod(int(surface.argmax()), columns)
    near_rows = np.arange(row - 2, row + 3)
    near_columns = np.arange(column - 2, column + 3)
    near = surface[np.ix_(near_rows % rows, near_columns % columns)].clip(min=0)
    total = float(near.sum()) or 1.0
    down = float((near.sum(1) * near_rows).sum()) / total
    right = float((near.sum(0) * near_columns).sum()) / total
    return (
        down - rows if down > rows / 2 else down,
        right - columns if right > columns / 2 else right,
    )


def _overlap(shape: tuple[int, int], down: float, right: float) -> tuple[slice, slice]:
    """What both frames show, less the reach of filters."""
    top, left = math.ceil(abs(down)) + 3, math.ceil(abs(right)) + 3
    return np.s_[top : shape[0] - top, left : shape[1] - left]


def _log_energy(difference: np.ndarray, inner: tuple[slice, slice]) -> np.ndarray:
    """Logarithm of the mean square of each cell of 8x8."""
    square = np.square(difference[inner])
    rows, columns = (max(1, n // 8) for n in square.shape)
    cells = cv2.resize(square, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.log(cells + 1e-6)


def _refine(
    last: np.ndarray,
    small: np.ndarray,
    inner: tuple[slice, slice],
    down: float,
    right: float,
) -> tuple[float, float]:
    """One step of least squares on the gradients (Lucas and Kanade 1981)."""
    moved = translate(last, down, right, 6)
    across = cv2.Sobel(moved, cv2.CV_32F, 1, 0, scale=1 / 8)[inner].ravel()
    along = cv2.Sobel(moved, cv2.CV_32F, 0, 1, scale=1 / 8)[inner].ravel()
    error = (moved - small)[inner].ravel()
    slopes = np.array(
        [[along @ along, along @ across], [along @ across, across @ across]]
    )
    wanted = np.array([along @ error, across @ error])
    if np.linalg.det(slopes) <= 1e-6 * np.trace(slopes) ** 2:
        return down, right
    step = np.linalg.solve(slopes, wanted).clip(-1, 1)
    return down + float(step[0]), right + float(step[1])


def interpolation_taps(shift: float, taps: int) -> tuple[int, np.ndarray]:
    """Filter that moves samples by a shift.

    Args:
        shift: in samples.
        taps: 2 for linear, 6 for Lanczos with three lobes (Duchon 1979).

    Returns:
        The whole part of the shift and the `taps` weights: output ``x`` is the sum of
        ``weights[k] * input[x - whole - taps // 2 + k]``.
    """
    whole = math.floor(shift)
    fraction = shift - whole
    # Input samples left to right; the wanted place is `fraction` before x - whole.
    places = np.arange(-(taps // 2), taps - taps // 2) + fraction
    if taps == 2:
        weights = 1 - np.abs(places)
    else:
        lobes = taps // 2
        weights = np.sinc(places) * np.sinc(places / lobes)
    return whole, (weights / weights.sum()).astype(np.float32)


def translate(
    image: np.ndarray,
    down: float,
    right: float,
    taps: int,
    *,
    hold_edge: bool = True,
    scratch: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Move an image by a shift.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` float32.
        down: pixels; beyond the image only its edge is left.
        right: pixels.
        taps: see `interpolation_taps`.
        hold_edge: repeat the edge outside; else zeros come in.
        scratch: an array like `image` to work in.
        out: where to put the result; may be `image`.

    Returns:
        `out`, or a new array of the same shape.
    """
    (rows, vertical), (columns, horizontal) = (
        interpolation_taps(shift, taps) for shift in (down, right)
    )
    border = cv2.BORDER_REPLICATE if hold_edge else cv2.BORDER_CONSTANT
    filtered = cv2.sepFilter2D(
        image,
        cv2.CV_32F,
        horizontal,
        vertical,
        dst=scratch,
        anchor=(taps // 2, taps // 2),
        borderType=border,
    ).reshape(image.shape)
    moved = np.empty_like(image) if out is None else out
    (to_y, from_y), (to_x, from_x) = (
        _moved_span(shift, size)
        for shift, size in zip((rows, columns), image.shape[:2], strict=True)
    )
    moved[to_y, to_x] = filtered[from_y, from_x]
    top, bottom, left, right_edge = to_y.start, to_y.stop, to_x.start, to_x.stop
    moved[to_y, :left] = moved[to_y, left : left + 1] if hold_edge else 0
    moved[to_y, right_edge:] = (
        moved[to_y, right_edge - 1 : right_edge] if hold_edge else 0
    )
    moved[:top] = moved[top] if hold_edge else 0
    moved[bottom:] = moved[bottom - 1] if hold_edge else 0
    return moved


def _moved_span(shift: int, size: int) -> tuple[slice, slice]:
    """Where samples go, and which ones they are; at least one stays."""
    shift = max(1 - size, min(shift, size - 1))
    to = slice(max(shift, 0), size + min(shift, 0))
    return to, slice(to.start - shift, to.stop - shift)


class StateMover:
    """Moves the state of one model at one size, in place and without allocations.

    Large arrays that come and go cost more than the work that is done on them.
    """

    def __init__(self, layout: str, state: Sequence[np.ndarray]) -> None:
        """Make room.

        Args:
            layout: of the model.
            state: fused, frames, hidden, hidden_low of one stream, ``(1, h, w,
                channels)`` float32 (see `streamdenoise.model`).
        """
        _, height, width, _ = state[0].shape
        self._parts = []
        starts, counts = mean_channels(layout), block_channels(layout)
        for start, count in zip(starts, counts, strict=True):
            side = math.isqrt(count)
            self._parts.append(
                (
                    slice(start, start + count),
                    side / 4,
                    cosine_basis(side),
                    np.empty((height, width, side, side), np.float32),
                    np.empty((height * side, width * side), np.float32),
                    np.empty((height * side, width * side), np.float32),
                )
            )
        self._features = [np.empty(array.shape[1:], np.float32) for array in state[1:]]

    def move(self, state: Sequence[np.ndarray], down: float, right: float) -> None:
        """Move the state with the picture, in place.

        What comes in at the edges counts as never seen.

        Args:
            state: as it was given to the constructor; changed.
            down: pixels of luma.
            right: pixels of luma.
        """
        fused, frames, hidden, hidden_low = (array[0] for array in state)
        for channels, scale, basis, block, plane, scratch in self._parts:
            height, width, side, _ = block.shape
            pixels = block.reshape(-1, side * side)
            coefficients = scratch.reshape(height, width, side * side)
            flat = coefficients.reshape(-1, side * side)
            grid = plane.reshape(height, side, width, side).swapaxes(1, 2)
            coefficients[...] = fused[..., channels]
            np.matmul(flat, basis, out=pixels)
            grid[...] = block
            translate(plane, down * scale, right * scale, 6, scratch=scratch, out=plane)
            block[...] = grid
            np.matmul(pixels, basis.T, out=flat)
            fused[..., channels] = coefficients
        for array, share, scratch, hold_edge in zip(
            (frames, hidden, hidden_low),
            (1 / 4, 1 / 4, 1 / 8),
            self._features,
            (False, True, True),
            strict=True,
        ):
            translate(
                array,
                down * share,
                right * share,
                2,
                hold_edge=hold_edge,
                scratch=scratch,
                out=array,
            )
