"""Motion in training: what `streamdenoise.imaging.motion` does, differentiable."""

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

    The product's own estimator on the network's own output: the network learns with
    its errors and refusals.

    Args:
        noisy: packed ``(N, h, w, C)``; of RGB the mean of the three counts.
        denoised: the same.
        steps: ``(N,)`` by how much to reduce pictures for the search; 0 for none.

    Returns:
        ``(N, 2, H / CELL, W / CELL)``, see `FlowEstimator.flow`; None if none moved.
    """
    with torch.autocast(noisy.device.type, enabled=False):
        pictures = [
            unpack(packed.detach().float())[0].mean(1).mul(255).round().clamp(0, 255)
            for packed in (noisy, denoised)
        ]
    nows, lasts = (picture.byte().cpu().numpy() for picture in pictures)
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
    """Bring the state of each stream to where the picture is now.

    Args:
        state: of `RecurrentDenoiser`.
        flow: as `find_flows` returns it.

    Returns:
        The state that fits the next frame.
    """
    if flow is None:
        return state
    # Half precision would cost half a level of brightness in every frame.
    with torch.autocast(flow.device.type, enabled=False):
        fused, frames, hidden, hidden_low = (part.float() for part in state)
        planes = [warp(plane, flow, "bicubic") for plane in unpack(fused)]
        # What comes in at the edges counts as never seen: zero frames.
        rest = [(frames, "zeros"), (hidden, "border"), (hidden_low, "border")]
        frames, hidden, hidden_low = (
            warp_channels_last(x, flow, "bilinear", pad) for x, pad in rest
        )
        return pack(tuple(planes)), frames, hidden, hidden_low
