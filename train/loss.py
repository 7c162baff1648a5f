"""Losses of unrolled clips, in packed coefficients."""

from collections.abc import Callable

from torch import Tensor

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


LOSSES: dict[str, Callable[[Tensor, Tensor, int, float], Tensor]] = {
    "psnr": psnr_loss,
    "charbonnier": charbonnier_loss,
}
"""Losses by the name that recipes use; all are means over clips and frames."""
