"""Global motion in training: what `streamdenoise.motion` does, differentiable.

Shifts of clips come from the same estimator as in the product, so the network sees its
errors and its refusals too.
"""

import numpy as np
import torch
from torch import Tensor

from streamdenoise.model import State, pack, unpack
from streamdenoise.motion import GlobalMotion, interpolation_taps


def clip_shifts(luma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Estimate how a clip moves from frame to frame.

    Args:
        luma: ``(T, H, W)`` uint8 planes.
        rng: gives the estimates an error of their own.

    Returns:
        ``(T, 2)`` float32, (down, right) in pixels from the frame before to each
        frame; zeros in the first row.
    """
    motion = GlobalMotion()
    shifts = np.array([motion.update(plane, 255) for plane in luma], np.float32)
    moved = np.abs(shifts).sum(1, keepdims=True) > 0
    return shifts + moved * rng.normal(0, 0.05, shifts.shape).astype(np.float32)


def translation(shift: Tensor, size: int, taps: int, *, hold_edge: bool) -> Tensor:
    """Matrices that move rows by a shift each.

    Args:
        shift: ``(N,)`` pixels.
        size: rows.
        taps: of the interpolation, see `interpolation_taps`.
        hold_edge: repeat the edge outside; else zeros come in.

    Returns:
        ``(N, size, size)``.
    """
    matrices = np.zeros((len(shift), size, size), np.float32)
    rows = np.arange(size)
    for matrix, value in zip(matrices, shift.tolist(), strict=True):
        whole, weights = interpolation_taps(value, taps)
        for offset, weight in enumerate(weights, -whole - taps // 2):
            columns = rows + offset
            inside = (columns >= 0) & (columns < size)
            if hold_edge:
                np.add.at(matrix, (rows, columns.clip(0, size - 1)), weight)
            else:
                matrix[rows[inside], columns[inside]] += weight
    return torch.from_numpy(matrices)


def translate_state(state: State, shifts: Tensor) -> State:
    """Move the state of each stream with the picture.

    Args:
        state: of `RecurrentDenoiser`, layout yuv420.
        shifts: ``(N, 2)`` (down, right) in pixels of luma.

    Returns:
        The state that fits the next frame.
    """
    if not shifts.any():
        return state
    fused, frames, hidden, hidden_low = state

    def move(x: Tensor, scale: float, taps: int, hold_edge: bool = True) -> Tensor:
        down = translation(shifts[:, 0] * scale, x.shape[1], taps, hold_edge=hold_edge)
        right = translation(shifts[:, 1] * scale, x.shape[2], taps, hold_edge=hold_edge)
        return torch.einsum("nih,nhwc,njw->nijc", down, x.float(), right)

    planes = [plane.permute(0, 2, 3, 1) for plane in unpack(fused, "yuv420")]
    moved = [
        move(plane, scale, 6).permute(0, 3, 1, 2)
        for plane, scale in zip(planes, (1.0, 0.5, 0.5), strict=True)
    ]
    return (
        pack(tuple(moved)),
        move(frames, 0.25, 2, hold_edge=False),
        move(hidden, 0.25, 2),
        move(hidden_low, 0.125, 2),
    )
