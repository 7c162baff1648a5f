"""A step whose buffers and state are on a PyTorch device.

It is computed by a function of device tensors: a PyTorch module (`eager`), or a
TensorRT engine (`tensorrt`) that works on the same memory.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from streamdenoise.errors import DeviceMemoryError
from streamdenoise.imaging.blocks import (
    changes_of_channels,
    layout_shapes,
    plane_shapes_of,
)
from streamdenoise.inference.backend import LaneInput
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.network.flow_search import TorchSearch
from streamdenoise.network.warp import warp_channels_last

budget_log = logging.getLogger("streamdenoise.budget")
"""Reports the use of GPU memory; shown by default."""

Launch = Callable[[Sequence[Tensor], Sequence[Tensor]], None]
"""Fills the outputs of the deployed graph from its inputs, on the current stream."""

_WARM_UPS = 3
"""Launches before a CUDA graph is captured, as PyTorch's manual requires."""


class TorchDeviceBackend:
    """One or more streams of one size, with two alternating sets of state.

    On CUDA, samples go up and come down through pinned memory as integers, packing and
    casts run on the device, and a step is one of two CUDA graphs, one for each set of
    state. Calls do not overlap: the motion in the next frame is estimated from the
    result of this one.

    As a `Backend` it is its first stream; `lane` returns any of them.
    """

    def __init__(
        self,
        request: StepRequest,
        launch: Launch,
        device: str,
        state_dtypes: Sequence[torch.dtype],
    ) -> None:
        """Allocate buffers on the device and capture the step.

        Args:
            request: see `StepRequest`; its `streams` are the batch.
            launch: computes the step.
            device: ``cpu`` or ``cuda``.
            state_dtypes: dtype of each tensor of the state.

        Raises:
            DeviceMemoryError: there is not enough memory.
        """
        self.name = request.backend
        self.request = request
        self.device = torch.device(device)
        self._launch: Launch | None = launch
        self._names = request.artifact.state_names
        # PyTorch has few operations on uint16; ten bits fit int16.
        samples = torch.uint8 if request.depth == 8 else torch.int16
        streams = request.streams
        shapes = [(streams, *shape[1:]) for shape in request.state_shapes]
        sizes = layout_shapes(request.artifact.layout, request.height, request.width)
        is_cuda = self.device.type == "cuda"
        if is_cuda:
            _log_budget(request, shapes, state_dtypes)
        with _memory_errors(request), self.device:
            self._pixels = torch.zeros(shapes[0])
            self._clean = torch.zeros(shapes[0])
            self._peak = torch.full((1, 1, 1, 1), float(request.peak))
            self._sigma = torch.zeros((streams, request.artifact.levels))
            self._strength = torch.ones((streams, 1, 1, 1))
            self._sets = [
                [
                    torch.zeros(shape, dtype=dtype)
                    for shape, dtype in zip(shapes, state_dtypes, strict=True)
                ]
                for _ in range(2)
            ]
            self._planes = [torch.zeros((streams, *s), dtype=samples) for s in sizes]
            self._host = [
                torch.zeros(
                    (streams, *s), dtype=samples, device="cpu", pin_memory=is_cuda
                )
                for s in sizes
            ]
            self._current = 0
            self._graphs = self._capture() if is_cuda else []
        self._lanes = [Lane(self, i) for i in range(streams)]
        for lane in self._lanes:
            lane.reset()

    def lane(self, index: int) -> "Lane":
        """One of the streams."""
        return self._lanes[index]

    @torch.inference_mode()
    def step_lanes(
        self, inputs: Mapping[int, LaneInput]
    ) -> dict[int, tuple[np.ndarray, ...]]:
        """See `BatchBackend.step_lanes`."""
        for index, given in inputs.items():
            self._sigma[index].copy_(torch.from_numpy(given.sigma.astype(np.float32)))
            for plane, host in zip(given.planes, self._host, strict=True):
                # Copied by numpy: PyTorch warns of arrays that cannot be written.
                target = host[index].numpy()
                np.copyto(target, plane.view(target.dtype))
        with _memory_errors(self.request):
            for host, device in zip(self._host, self._planes, strict=True):
                device.copy_(host, non_blocking=True)
            if self._graphs:
                self._graphs[self._current].replay()
            else:
                self._run(self._current)
        old, new = self._sets[self._current], self._sets[1 - self._current]
        for index in range(len(self._lanes)):
            if index not in inputs:
                for before, after in zip(old, new, strict=True):
                    after[index].copy_(before[index])
        self._current = 1 - self._current
        for host, device in zip(self._host, self._planes, strict=True):
            host.copy_(device, non_blocking=True)
        if self._graphs:
            torch.cuda.current_stream(self.device).synchronize()
        return {
            index: tuple(
                host[index].numpy().view(plane.dtype).copy()
                for host, plane in zip(self._host, given.planes, strict=True)
            )
            for index, given in inputs.items()
        }

    def _run(self, current: int) -> None:
        """Run a step on the planes; reads one set of state and writes the other."""
        assert self._launch is not None
        for plane, block in zip(self._planes, _blocks(self._pixels), strict=True):
            block.copy_(_by_block(plane, block.shape[-1]))
        inputs = (self._pixels, self._peak, self._sigma, self._strength)
        self._launch(
            (*inputs, *self._sets[current]), (self._clean, *self._sets[1 - current])
        )
        for plane, block in zip(self._planes, _blocks(self._clean), strict=True):
            _by_block(plane, block.shape[-1]).copy_(block)

    @torch.inference_mode()
    def _capture(self) -> list["torch.cuda.CUDAGraph"]:
        graphs = []
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._run(0)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        for current in (0, 1):
            graph = torch.cuda.CUDAGraph()
            # Other threads may be using the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._run(current)
            graphs.append(graph)
        return graphs

    def held(self, index: int) -> dict[str, Tensor]:
        """The state of one stream on the device, name -> ``(1, h, w, channels)``."""
        tensors = self._sets[self._current] if self._sets else []
        parts = (tensor[index : index + 1] for tensor in tensors)
        return dict(zip(self._names, parts, strict=False))

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        return self._lanes[0].step(planes, sigma)

    def flow_search(self) -> TorchSearch | None:
        """See `Backend.flow_search`; on CUDA."""
        return self._lanes[0].flow_search()

    def warp(self, flow: np.ndarray) -> None:
        """See `Backend.warp`; on the device."""
        self._lanes[0].warp(flow)

    def shift(self, changes: Sequence[float]) -> None:
        """See `Backend.shift`."""
        self._lanes[0].shift(changes)

    def reset(self) -> None:
        """Return to a fresh start."""
        self._lanes[0].reset()

    def state(self) -> tuple[np.ndarray, ...]:
        return self._lanes[0].state()

    def is_finite(self, rows: slice) -> bool:
        return self._lanes[0].is_finite(rows)

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        self._lanes[0].set_state(state)

    def close(self) -> None:
        """Free the device's memory; may be called again."""
        self._graphs, self._sets, self._planes, self._host = [], [], [], []
        self._launch = None
        self._pixels = self._clean = torch.empty(0)


class Lane:
    """One stream of a `TorchDeviceBackend`, as a `Backend`."""

    def __init__(self, batch: TorchDeviceBackend, index: int) -> None:
        self.name = batch.name
        self._batch = batch
        self._index = index

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """See `Backend.step`; no other stream advances."""
        given = LaneInput(planes, sigma)
        return self._batch.step_lanes({self._index: given})[self._index]

    def flow_search(self) -> TorchSearch | None:
        """See `Backend.flow_search`; on a CPU the compiled one is faster."""
        device = self._batch.device
        return TorchSearch(device) if device.type == "cuda" else None

    @torch.inference_mode()
    def warp(self, flow: np.ndarray) -> None:
        held = self._batch.held(self._index)
        device = held["fused"].device
        vectors = torch.from_numpy(flow).to(device).permute(2, 0, 1)[None]
        # Less than cubic interpolation would blur the image a little every time.
        for block in _blocks(held.pop("fused")):
            plane = _plane_of(block)[..., None]
            moved = warp_channels_last(plane, vectors, "bicubic")
            block.copy_(_by_block(moved[..., 0], block.shape[-1]))
        for name, part in held.items():
            # Content that enters at the edges counts as never seen.
            padding = "zeros" if name == "frames" else "border"
            part.copy_(warp_channels_last(part.float(), vectors, "bilinear", padding))

    @torch.inference_mode()
    def shift(self, changes: Sequence[float]) -> None:
        """See `Backend.shift`."""
        fused = self._batch.held(self._index)["fused"]
        fused += torch.from_numpy(changes_of_channels(changes, fused.shape[-1])).to(
            fused
        )

    @torch.inference_mode()
    def reset(self) -> None:
        """Return to a fresh start."""
        for part in self._batch.held(self._index).values():
            part.zero_()

    @torch.inference_mode()
    def state(self) -> tuple[np.ndarray, ...]:
        held = self._batch.held(self._index).values()
        return tuple(part.float().cpu().numpy() for part in held)

    @torch.inference_mode()
    def is_finite(self, rows: slice) -> bool:
        """See `Backend.is_finite`; waits for the device once."""
        held = self._batch.held(self._index).values()
        return bool(torch.stack([p[:, rows].isfinite().all() for p in held]).all())

    @torch.inference_mode()
    def set_state(self, state: Sequence[np.ndarray]) -> None:
        held = self._batch.held(self._index).values()
        for part, array in zip(held, state, strict=True):
            part.copy_(torch.from_numpy(array))

    def close(self) -> None:
        """Do nothing: the batch owns the memory."""


def _blocks(pixels: Tensor) -> Iterator[Tensor]:
    """The blocks of each plane: views ``(N, h, w, side, side)`` of ``(N, h, w, C)``."""
    _, height, width, channels = pixels.shape
    first = 0
    for plane in plane_shapes_of(np.empty((height, width, channels), np.uint8)):
        side = plane[0] // height
        part = pixels[..., first : first + side * side]
        yield part.unflatten(-1, (side, side))
        first += side * side


def _by_block(plane: Tensor, side: int) -> Tensor:
    """View planes ``(N, H, W)`` as ``(N, h, w, side, side)``."""
    rows = plane.unflatten(1, (-1, side)).unflatten(3, (-1, side))
    return rows.permute(0, 1, 3, 2, 4)


def _plane_of(block: Tensor) -> Tensor:
    """``(N, H, W)`` of the blocks ``(N, h, w, side, side)`` of a plane."""
    count, height, width, side, _ = block.shape
    rows = block.permute(0, 1, 3, 2, 4)
    return rows.reshape(count, height * side, width * side)


def buffer_bytes(
    request: StepRequest,
    shapes: Sequence[tuple[int, ...]],
    dtypes: Sequence[torch.dtype],
) -> int:
    """Device memory of the pixels and of both sets of state, in bytes.

    Args:
        request: see `StepRequest`.
        shapes: shapes of the state of all streams.
        dtypes: data types of the state.
    """
    pairs = zip(shapes, dtypes, strict=True)
    state = sum(math.prod(shape) * dtype.itemsize for shape, dtype in pairs)
    pixels = math.prod(shapes[0])
    # The graph takes and gives pixels in float32; planes have 1 or 2 bytes.
    return 2 * state + 2 * 4 * pixels + pixels * (1 if request.depth == 8 else 2)


def _log_budget(
    request: StepRequest,
    shapes: Sequence[tuple[int, ...]],
    dtypes: Sequence[torch.dtype],
) -> None:
    free, total = torch.cuda.mem_get_info()
    budget_log.info(
        "%s: pixels and state of %d x %dx%d take %.0f MiB of GPU memory, besides that "
        "of the network; %.0f of %.0f MiB are free",
        request.backend,
        request.streams,
        request.width,
        request.height,
        buffer_bytes(request, shapes, dtypes) / 2**20,
        free / 2**20,
        total / 2**20,
    )


@contextmanager
def _memory_errors(request: StepRequest) -> Iterator[None]:
    """Raise an error that says what did not fit, instead of the runtime's."""
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise DeviceMemoryError(
            f"{request.backend} has too little GPU memory for "
            f"{request.width}x{request.height}; close other programs, or give "
            "--tile 1024"
        ) from exc
