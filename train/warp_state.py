"""Motion in training: `streamdenoise.imaging.motion` in differentiable form."""

import numpy as np
import torch
from torch import Tensor

from streamdenoise.imaging.motion import CELL, FlowEstimator
from streamdenoise.network.model import State
from streamdenoise.network.packing import pack, unpack
from streamdenoise.network.warp import warp, warp_channels_last


def find_flows(
    estimator: FlowEstimator, noisy: Tensor, denoised: Tensor, steps: Tensor
) -> Tensor | None:
    """Flows from each clip's new frame to its last denoised one.

    This is the product's own estimator on the network's own output, so that the network
    learns with its errors and omissions.

    Args:
        noisy: packed ``(N, h, w, C)``; for RGB the mean of the three planes is used.
        denoised: the same shape.
        steps: ``(N,)`` factor by which frames are reduced for the search; 0 for no
            search.

    Returns:
        ``(N, 2, H / CELL, W / CELL)``, see `FlowEstimator.flow`; None if nothing moved.
    """
    with torch.autocast(noisy.device.type, enabled=False):
        lumas = [
            unpack(packed.detach().float())[0].mean(1).mul(255).round().clamp(0, 255)
            for packed in (noisy, denoised)
        ]
    nows, lasts = (luma.byte().cpu().numpy() for luma in lumas)
    flows = np.zeros(
        (len(nows), nows.shape[1] // CELL, nows.shape[2] // CELL, 2), np.float32
    )
    for flow, now, last, step in zip(flows, nows, lasts, steps.tolist(), strict=True):
        found = estimator.flow(now, last, 255, step) if step else None
        if found is not None:
            flow[...] = found
    if not flows.any():
        return None
    return torch.from_numpy(flows).permute(0, 3, 1, 2).to(noisy.device)


def warp_state(state: State, flow: Tensor | None) -> State:
    """Move the state of each stream along its motion.

    Args:
        state: the state of `RecurrentDenoiser`.
        flow: as `find_flows` returns it.

    Returns:
        The state that fits the next frame.
    """
    if flow is None:
        return state
    # Half precision would shift the brightness by half a level in every frame.
    with torch.autocast(flow.device.type, enabled=False):
        fused, frames, hidden, hidden_low = (part.float() for part in state)
        planes = [warp(plane, flow, "bicubic") for plane in unpack(fused)]
        # Pixels that enter at the edges count as never seen: zero frames.
        rest = [(frames, "zeros"), (hidden, "border"), (hidden_low, "border")]
        frames, hidden, hidden_low = (
            warp_channels_last(x, flow, "bilinear", pad) for x, pad in rest
        )
        return pack(tuple(planes)), frames, hidden, hidden_low
