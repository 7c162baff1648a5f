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

from streamdenoise.blocks import from_planes, to_planes

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
    image: np.ndarray, down: float, right: float, taps: int, *, hold_edge: bool = True
) -> np.ndarray:
    """Move an image by a shift.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` float32.
        down: pixels.
        right: pixels.
        taps: see `interpolation_taps`.
        hold_edge: repeat the edge outside; else zeros come in.

    Returns:
        A new array of the same shape.
    """
    (rows, vertical), (columns, horizontal) = (
        interpolation_taps(shift, taps) for shift in (down, right)
    )
    height, width = image.shape[:2]
    margin = taps // 2
    border = cv2.BORDER_REPLICATE if hold_edge else cv2.BORDER_CONSTANT
    rows = max(-height, min(rows, height))
    columns = max(-width, min(columns, width))
    padded = cv2.copyMakeBorder(
        image,
        margin + max(rows, 0),
        margin + max(-rows, 0),
        margin + max(columns, 0),
        margin + max(-columns, 0),
        border,
        value=0,
    )
    filtered = cv2.sepFilter2D(
        padded, cv2.CV_32F, horizontal, vertical, anchor=(margin, margin)
    )
    top, left = margin + max(-rows, 0), margin + max(-columns, 0)
    moved = filtered[top : top + height, left : left + width]
    return np.ascontiguousarray(moved).reshape(image.shape)


def translate_state(
    state: Sequence[np.ndarray], down: float, right: float, layout: str
) -> tuple[np.ndarray, ...]:
    """Move the state of a model with the picture.

    Args:
        state: fused, frames, hidden, hidden_low of one stream, ``(1, h, w, channels)``
            float32 (see `streamdenoise.model`).
        down: pixels of luma.
        right: pixels of luma.
        layout: of the model.

    Returns:
        The state that fits the next frame. What comes in at the edges counts as never
        seen.
    """
    fused, frames, hidden, hidden_low = (array[0] for array in state)
    planes = to_planes(fused, layout)
    width = planes[0].shape[1]
    shares = [plane.shape[1] / width for plane in planes]
    moved = [
        translate(plane, down * share, right * share, 6)
        for plane, share in zip(planes, shares, strict=True)
    ]
    return (
        from_planes(moved, layout)[None],
        translate(frames, down / 4, right / 4, 2, hold_edge=False)[None],
        translate(hidden, down / 4, right / 4, 2)[None],
        translate(hidden_low, down / 8, right / 8, 2)[None],
    )
