"""The search of motion in PyTorch, on any device, as `CompiledSearch` does it.

All patches of a level take their steps at once, in a fixed number of operations without
any decision of the host, so that on CUDA the search is one graph.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamdenoise.imaging.flow_search import (
    CLEAR,
    DEAD_ZONE,
    SLIGHT,
    WORTH,
    level_sizes,
)

_PATCH, _BLOCK = 8, 4
_MARGIN = 12
"""Pixels by which levels are extended, and by which a patch may leave the frame."""
_STEPS = 4
_LAST_STEPS = 2
"""Steps of the patches that took over the vector of a neighbor."""
_DAMPING = 64.0
_REACH = 8.0
_JOINT = 0.5
_FLOOR = 16.0

_WARM_UPS = 3
"""Runs before a CUDA graph is captured, as PyTorch's manual requires."""


class TorchSearch:
    """A `FlowSearch` whose work is done on a device."""

    def __init__(self, device: str | torch.device) -> None:
        """Allocate nothing yet.

        Args:
            device: ``cpu`` or ``cuda``.
        """
        self._device = torch.device(device)
        self._key: tuple[int, ...] = ()

    @torch.inference_mode()
    def flow(
        self, now: np.ndarray, then: np.ndarray, step: int, cells: tuple[int, int]
    ) -> np.ndarray | None:
        """See `FlowSearch.flow`."""
        key = (*now.shape, step, *cells)
        if key != self._key:
            self._prepare(now.shape, step, cells)
            self._key = key
        for frame, array in zip(self._frames, (now, then), strict=True):
            frame.copy_(torch.from_numpy(array))
        if self._graph is None:
            self._run()
        else:
            self._graph.replay()
        flow = self._flow.cpu().numpy().copy()
        return flow if flow.any() else None

    def _prepare(
        self, shape: tuple[int, ...], step: int, cells: tuple[int, int]
    ) -> None:
        self._step, self._cells = step, cells
        self._sizes = list(level_sizes(*shape))
        with self._device:
            self._frames = torch.zeros((2, *shape), dtype=torch.uint8)
            self._flow = torch.zeros((*cells, 2))
        self._graph: torch.cuda.CUDAGraph | None = None
        if self._device.type == "cuda":
            self._graph = self._captured()

    def _captured(self) -> "torch.cuda.CUDAGraph":
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._run()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may be using the device meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._run()
        return graph

    def _run(self) -> None:
        frames = self._frames.float()
        levels = [_Level(halved) for halved in _halves(frames, len(self._sizes))]
        found: Tensor | None = None
        for level in reversed(levels):
            found = level.search(found)
        assert found is not None
        flow = _of_cells(levels[0].blend(found), self._step, self._cells)
        # From pixels of the finest level, which has half the size.
        flow = flow * 2
        flow = flow * (flow.abs().sum(-1, True) > DEAD_ZONE / self._step)
        left, still = _compared(frames, flow, self._step)
        left, still = _sums(left + SLIGHT, 1), _sums(still, 1)
        worth = (left < WORTH * still) & (_sums(left, 3) < WORTH * _sums(still, 3))
        keeps = worth | (left < CLEAR * still)
        self._flow.copy_(self._step * flow * keeps[..., None])


class _Level:
    """Both frames at one size, as patches of the first and an extended second one."""

    def __init__(self, frames: Tensor) -> None:
        """Cut patches.

        Args:
            frames: ``(2, h, w)`` float32.
        """
        height, width = frames.shape[-2:]
        below, beside = -height % _BLOCK, -width % _BLOCK
        edges = (0, beside, 0, below)
        now, then = F.pad(frames[:, None], edges, "replicate")
        margins = (_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        then = F.pad(then[None], margins, "replicate")[0, 0]
        self._width = then.shape[1]
        self._then = then.flatten()
        self._inner = (height + below, width + beside)
        self._blocks = now[0].unfold(0, _BLOCK, _BLOCK).unfold(1, _BLOCK, _BLOCK)
        self._patches = now[0].unfold(0, _PATCH, _BLOCK).unfold(1, _PATCH, _BLOCK)
        self.shape = self._patches.shape[:2]

    def search(self, coarse: Tensor | None) -> Tensor:
        """The vectors ``(h, w, 2)`` of the patches; see `kernels.search.search`."""
        still = torch.zeros((*self.shape, 2), device=self._then.device)
        best = _Fit(self, still)
        if coarse is not None:
            best.try_all(_parents(coarse, self.shape))
        best.follow(_STEPS)
        best.try_all(_neighbors(best.vectors))
        best.follow(_LAST_STEPS)
        return best.vectors

    def differences(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each pixel of the patches along a vector, and the gradient there.

        Args:
            vectors: ``(h, w, 2)``.

        Returns:
            Difference, slope and rise, each ``(h, w, 8, 8)``.
        """
        upper_left, right, down = self._moved(vectors, _PATCH)
        a, b = upper_left[..., :-1, :-1], upper_left[..., :-1, 1:]
        c, d = upper_left[..., 1:, :-1], upper_left[..., 1:, 1:]
        upper, lower = torch.lerp(a, b, right), torch.lerp(c, d, right)
        slope, rise = torch.lerp(b - a, d - c, down), lower - upper
        return self._patches - torch.lerp(upper, lower, down), slope, rise

    def blend(self, found: Tensor) -> Tensor:
        """One vector a block, ``(h, w, 2)``; see `kernels.search.blend`."""
        grown = F.pad(found.permute(2, 0, 1)[None], (1, 1, 1, 1), "replicate")[0]
        grown = grown.permute(1, 2, 0)
        four = torch.stack(
            [grown[:-1, :-1], grown[:-1, 1:], grown[1:, :-1], grown[1:, 1:]]
        )
        spread = (four.amax(0) - four.amin(0)).sum(-1, True)
        weights = torch.stack([1 / (self._of_blocks(each) + _FLOOR) for each in four])
        weighted = (weights[..., None] * four).sum(0) / weights.sum(0)[..., None]
        return torch.where(spread < _JOINT, four.mean(0), weighted)

    def _of_blocks(self, vectors: Tensor) -> Tensor:
        """Squared difference of each block along its vector, ``(h, w)``."""
        pixels, right, down = self._moved(vectors, _BLOCK)
        upper = torch.lerp(pixels[..., :-1, :-1], pixels[..., :-1, 1:], right)
        lower = torch.lerp(pixels[..., 1:, :-1], pixels[..., 1:, 1:], right)
        left = self._blocks - torch.lerp(upper, lower, down)
        return left.square().sum((-2, -1))

    def _moved(self, vectors: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """The pixels around squares that are moved, and the fractions of the vectors.

        Returns:
            ``(h, w, side + 1, side + 1)``, and twice ``(h, w, 1, 1)``.
        """
        whole = vectors.floor()
        right, down = (vectors - whole).unbind(-1)
        x, y = whole.long().unbind(-1)
        x = x + _BLOCK * torch.arange(x.shape[1], device=x.device)
        y = y + _BLOCK * torch.arange(y.shape[0], device=y.device)[:, None]
        outside = _MARGIN - 2
        x = x.clamp(-outside, self._inner[1] + outside - _PATCH) + _MARGIN
        y = y.clamp(-outside, self._inner[0] + outside - _PATCH) + _MARGIN
        square = torch.arange(side + 1, device=x.device)
        square = square[:, None] * self._width + square
        places = (y * self._width + x)[..., None, None] + square
        return self._then[places], right[..., None, None], down[..., None, None]


class _Fit:
    """The best vector of each patch so far."""

    def __init__(self, level: _Level, vectors: Tensor) -> None:
        self._level = level
        self.vectors = vectors
        self._sums = self._measured(vectors)

    def _measured(self, vectors: Tensor) -> Tensor:
        """Of patches ``(h, w, 6)``: products of gradients (0 to 2), of these with the
        difference (3, 4), squared difference (5), each without its mean."""
        parts = torch.stack(self._level.differences(vectors), -3).flatten(-2)
        parts = parts - parts.mean(-1, True)
        left, slope, rise = parts.unbind(-2)
        pairs = (
            *((slope, slope), (slope, rise), (rise, rise)),
            *((slope, left), (rise, left), (left, left)),
        )
        return torch.stack([(a * b).sum(-1) for a, b in pairs], -1)

    def try_all(self, candidates: list[Tensor]) -> None:
        """Move to the best of some vectors ``(h, w, 2)`` where it is better."""
        for vectors in candidates:
            self._try(vectors, torch.ones_like(vectors[..., 0], dtype=torch.bool))

    def _try(self, vectors: Tensor, may: Tensor) -> Tensor:
        sums = self._measured(vectors)
        is_better = may & (sums[..., 5] < self._sums[..., 5])
        self.vectors = torch.where(is_better[..., None], vectors, self.vectors)
        self._sums = torch.where(is_better[..., None], sums, self._sums)
        return is_better

    def follow(self, steps: int) -> None:
        """Follow the gradient as long as that helps, some steps at most."""
        start = self.vectors
        goes_on = torch.ones_like(start[..., 0], dtype=torch.bool)
        for _ in range(steps):
            xx, xy, yy, xr, yr, _ = self._sums.unbind(-1)
            a, c = xx + _DAMPING, yy + _DAMPING
            way = torch.stack([c * xr - xy * yr, a * yr - xy * xr], -1)
            vectors = self.vectors + way / (a * c - xy * xy)[..., None]
            is_near = (vectors - start).abs().amax(-1) <= _REACH
            goes_on = self._try(vectors, goes_on & is_near)


def _halves(frames: Tensor, count: int) -> list[Tensor]:
    """Both frames at half the size, a quarter, and so on."""
    halves = []
    for _ in range(count):
        frames = F.avg_pool2d(frames[None], 2)[0]
        halves.append(frames)
    return halves


def _parents(coarse: Tensor, shape: torch.Size) -> list[Tensor]:
    """The vectors of the four patches of half the size around each patch."""
    y, x = (torch.arange(n, device=coarse.device) - 1 >> 1 for n in shape)
    rows, columns = coarse.shape[:2]
    return [
        2 * coarse[(y + i).clamp(0, rows - 1)[:, None], (x + j).clamp(0, columns - 1)]
        for i in (0, 1)
        for j in (0, 1)
    ]


def _neighbors(vectors: Tensor) -> list[Tensor]:
    grown = F.pad(vectors.permute(2, 0, 1)[None], (1, 1, 1, 1), "replicate")[0]
    grown = grown.permute(1, 2, 0)
    return [grown[1:-1, :-2], grown[:-2, 1:-1], grown[1:-1, 2:], grown[2:, 1:-1]]


def _of_cells(vectors: Tensor, step: int, cells: tuple[int, int]) -> Tensor:
    """Interpolate from blocks of `step` cells ``(h, w, 2)`` to cells."""
    for axis, (count, size) in enumerate(zip(cells, vectors.shape[:2], strict=True)):
        place = (torch.arange(count, device=vectors.device) + 0.5) / step - 0.5
        whole = place.floor()
        share = (place - whole).view(-1, *(2 - axis) * [1])
        first, second = (
            vectors.index_select(axis, (whole + i).long().clamp(0, size - 1))
            for i in (0, 1)
        )
        vectors = torch.lerp(first, second, share)
    return vectors


def _compared(frames: Tensor, flow: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Mean squared difference of each cell along its vector, and without motion.

    Args:
        frames: ``(2, H, W)``.
        flow: ``(h, w, 2)`` in their pixels.
        step: a cell has ``8 / step`` pixels a side.
    """
    (rows, down), (columns, across) = (
        _cells_and_pixels(pixels, cells, step, flow.device)
        for pixels, cells in zip(frames.shape[1:], flow.shape[:2], strict=True)
    )
    now, then = frames
    dense = flow[rows[:, None], columns]
    span = dense.new_tensor([frames.shape[2], frames.shape[1]]) / 2
    still = torch.eye(2, 3, device=flow.device)[None]
    grid = F.affine_grid(still, [1, 1, *frames.shape[1:]], align_corners=False)
    grid = grid + dense[None] / span
    moved = F.grid_sample(
        *(then[None, None], grid, "bilinear", "border"), align_corners=False
    )
    squares = torch.stack([(now - moved[0, 0]).square(), (now - then).square()])
    left, left_by_zero = down @ squares @ across.T
    return left, left_by_zero


def _cells_and_pixels(
    pixels: int, cells: int, step: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Along one axis, the cell of each pixel, and how a cell is the mean of pixels."""
    pixel = torch.arange(pixels, device=device)
    cell = torch.arange(cells, device=device)[:, None]
    first = (8 * cell // step).clamp(max=pixels - 1)
    end = torch.maximum(8 * (cell + 1) // step, first + 1)
    member = ((pixel >= first) & (pixel < end)).float()
    cell_of = (((pixel + 1) * step - 1) // 8).clamp(max=cells - 1)
    return cell_of, member / member.sum(1, True)


def _sums(values: Tensor, apart: int) -> Tensor:
    """The sum of 3x3 values, some apart, around each; the edge is repeated."""
    rows, columns = values.shape
    grown = F.pad(values[None, None], 4 * (apart,), "replicate")[0, 0]
    parts = [
        grown[i * apart : i * apart + rows, j * apart : j * apart + columns]
        for i in range(3)
        for j in range(3)
    ]
    return torch.stack(parts).sum(0)
