"""Losses of unrolled clips, in packed coefficients."""

from collections.abc import Callable

import torch
from torch import Tensor

from streamdenoise.imaging.coefficients import cosine_basis

_ROUNDING = 1 / (12 * 255**2)
"""MSE of rounding to 8 bits; no output can be better, so the loss ends there."""

CHARBONNIER_EPS = 1e-3
"""Errors below this (a quarter of an 8-bit level) count by their square, larger ones by
their magnitude."""


def psnr_loss(
    denoised: Tensor, clean: Tensor, luma: int, chroma_weight: float
) -> Tensor:
    """Mean log MSE over clips and frames: every noise level counts the same in dB.

    Args:
        denoised: ``(N, T, h, w, C)``.
        clean: the same shape.
        luma: number of luma channels, first in C.
        chroma_weight: weight of the loss of the other channels.
    """
    error = (denoised.float() - clean).square()
    loss = (error[..., :luma].mean((2, 3, 4)) + _ROUNDING).log().mean()
    if luma < error.shape[-1]:
        chroma = (error[..., luma:].mean((2, 3, 4)) + _ROUNDING).log().mean()
        loss = loss + chroma_weight * chroma
    return loss


def charbonnier_loss(
    denoised: Tensor, clean: Tensor, luma: int, chroma_weight: float
) -> Tensor:
    """Mean of ``sqrt(error**2 + CHARBONNIER_EPS**2)``, a smooth absolute error.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
    computed imaging", 1994. Compared with `psnr_loss` noisy clips count more and edges
    less. The arguments are the same.
    """
    error = (denoised.float() - clean).square().add(CHARBONNIER_EPS**2).sqrt()
    loss = error[..., :luma].mean()
    if luma < error.shape[-1]:
        loss = loss + chroma_weight * error[..., luma:].mean()
    return loss


def border_loss(denoised: Tensor, clean: Tensor) -> Tensor:
    """How much more the error of luma jumps between blocks of 4x4 than within them.

    Each block has thresholds of its own, and the eye finds the grid at once in errors
    that a mean square would not count.

    Args:
        denoised: ``(N, T, h, w, C)``.
        clean: the same shape.

    Returns:
        Mean log ratio of the squared jumps, over clips and frames, none below 0.
    """
    basis = torch.from_numpy(cosine_basis(4)).to(clean)
    error = (denoised[..., :16].float() - clean[..., :16]) @ basis
    blocks = error.unflatten(-1, (4, 4))
    left, right, top, bottom = (
        blocks[..., 0],
        blocks[..., 3],
        blocks[..., 0, :],
        blocks[..., 3, :],
    )
    border = _energy(left[:, :, :, 1:] - right[:, :, :, :-1])
    border = border + _energy(top[:, :, 1:] - bottom[:, :, :-1])
    inner = _energy(blocks[..., 2] - blocks[..., 1])
    inner = inner + _energy(blocks[..., 2, :] - blocks[..., 1, :])
    ratio = (border + 2 * _ROUNDING) / (inner + 2 * _ROUNDING)
    return ratio.log().clamp(min=0).mean()


def _energy(x: Tensor) -> Tensor:
    return x.square().flatten(2).mean(2)


LOSSES: dict[str, Callable[[Tensor, Tensor, int, float], Tensor]] = {
    "psnr": psnr_loss,
    "charbonnier": charbonnier_loss,
}
"""Losses by the name that recipes use; all are means over clips and frames."""
