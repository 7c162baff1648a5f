"""Warping in PyTorch, on any device and differentiable, as `StateWarper` does it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from streamdenoise.imaging.motion import CELL


def warp(x: Tensor, flow: Tensor, mode: str, padding: str = "border") -> Tensor:
    """Take the value of each pixel at its place plus its vector.

    Args:
        x: ``(N, C, h, w)``.
        flow: ``(N, 2, H / CELL, W / CELL)`` in pixels of luma, (right, down).
        mode: ``bilinear`` or ``bicubic``.
        padding: ``border`` repeats the edge, ``zeros`` is zero beyond it.

    Returns:
        The shape of `x`.
    """
    height, width = x.shape[-2:]
    dense = F.interpolate(flow, size=(height, width), mode="bilinear")
    # From luma pixels to the range -1 to 1.
    span = flow.new_tensor([flow.shape[-1] * CELL, flow.shape[-2] * CELL]) / 2
    still = torch.eye(2, 3, device=flow.device).expand(len(x), 2, 3)
    identity = F.affine_grid(still, list(x.shape), align_corners=False)
    grid = identity + dense.permute(0, 2, 3, 1) / span
    return F.grid_sample(x, grid, mode, padding, align_corners=False)


def warp_channels_last(
    x: Tensor, flow: Tensor, mode: str, padding: str = "border"
) -> Tensor:
    """`warp` for ``(N, h, w, C)``."""
    return warp(x.permute(0, 3, 1, 2), flow, mode, padding).permute(0, 2, 3, 1)
