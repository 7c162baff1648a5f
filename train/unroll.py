"""The network unrolled along clips: outputs, loss, and gradients in chunks."""

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize

from streamdenoise.imaging.motion import FlowEstimator
from streamdenoise.network.model import RecurrentDenoiser, State
from streamdenoise.network.packing import luma_channels

from .clips.batch import Batch
from .loss import LOSSES, border_loss
from .recipe import Recipe
from .warp_state import find_flows, warp_state


def unroll(
    net: RecurrentDenoiser, batch: Batch, last: Tensor | None = None
) -> tuple[Tensor, State]:
    """Denoise the clips of a batch, warping the state along their motion.

    Args:
        net: the network.
        batch: with the state before its first frame.
        last: the output before its first frame ``(N, h, w, C)``; None at the start.

    Returns:
        ``(N, T, h, w, C)`` and the last state.
    """
    state, outputs, estimator = batch.state, [], FlowEstimator()
    for frame in batch.noisy.unbind(1):
        if last is not None:
            state = warp_state(state, find_flows(estimator, frame, last, batch.search))
        last, state = net(frame, batch.noise_std, *state)
        outputs.append(last)
    return torch.stack(outputs, 1), state


@torch.no_grad()
def teach(teacher: RecurrentDenoiser, batch: Batch, bf16: bool) -> Batch:
    """Add the output of a teacher, which has its own state, to the batch."""
    fused, frames, *_ = batch.state
    count, h, w, _ = fused.shape
    shapes = teacher.spec.state_shapes(4 * h, 4 * w, count)[2:]
    hidden, low = (torch.zeros(shape, device=fused.device) for shape in shapes)
    own = replace(batch, state=(fused, frames, hidden, low))
    with _autocast(batch, bf16):
        taught, _ = unroll(teacher, own)
    return replace(batch, taught=taught)


def _autocast(batch: Batch, bf16: bool) -> torch.autocast:
    return torch.autocast(batch.noisy.device.type, torch.bfloat16, enabled=bf16)


class UnrolledLoss(nn.Module):
    """The loss of a chunk of frames as one module, as distributed training needs it."""

    def __init__(self, net: RecurrentDenoiser, recipe: Recipe) -> None:
        super().__init__()
        self.net = net
        self._recipe = recipe

    def forward(
        self, batch: Batch, last: Tensor | None
    ) -> tuple[Tensor, Tensor, State]:
        """Unroll a chunk, see `unroll`.

        Returns:
            The loss, the last output and the last state.
        """
        recipe = self._recipe
        # A weight of several branches is summed once, not for every frame.
        with parametrize.cached(), _autocast(batch, recipe.bf16):
            denoised, state = unroll(self.net, batch, last)
        luma = luma_channels(recipe.spec.layout)
        loss_of = LOSSES[recipe.loss]
        loss = loss_of(denoised, batch.clean, luma, recipe.chroma_weight)
        if recipe.border_weight:
            loss = loss + recipe.border_weight * border_loss(denoised, batch.clean)
        if batch.taught is not None:
            taught = loss_of(denoised, batch.taught, luma, recipe.chroma_weight)
            loss = loss + recipe.teacher_weight * taught
        return loss, denoised[:, -1], state


def backward(
    unrolled: UnrolledLoss | DistributedDataParallel, batch: Batch, truncate: int = 0
) -> Tensor:
    """Accumulate the gradients of a batch, chunk by chunk.

    The state is passed from chunk to chunk, gradients are not, so that memory is that
    of one chunk (truncated backpropagation through time; Williams and Peng, 1990).

    Args:
        unrolled: if distributed, processes average their gradients once, with the last
            chunk.
        batch: whole clips.
        truncate: number of frames in a chunk; 0 for the whole clip.

    Returns:
        The loss of this process's clips, detached.
    """
    length = batch.noisy.shape[1]
    span = truncate or length
    total, last, state = torch.zeros((), device=batch.noisy.device), None, batch.state
    for start in range(0, length, span):
        chunk = replace(batch.frames(start, start + span), state=state)
        is_last = start + span >= length
        shared = isinstance(unrolled, DistributedDataParallel)
        with unrolled.no_sync() if shared and not is_last else nullcontext():
            loss, last, state = unrolled(chunk, last)
            loss = loss * (chunk.noisy.shape[1] / length)
            loss.backward()
        total += loss.detach()
        last = last.detach()
        fused, frames, hidden, low = (part.detach() for part in state)
        state = (fused, frames, hidden, low)
    return total
