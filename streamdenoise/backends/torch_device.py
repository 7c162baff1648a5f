"""A step whose buffers and state live on a PyTorch device.

What computes it is a function of device tensors: a PyTorch module (`eager`), or a
TensorRT engine (`tensorrt`) that works on the same memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from streamdenoise.backends.backend import StepRequest
from streamdenoise.blocks import plane_shapes_of
from streamdenoise.errors import DeviceMemoryError
from streamdenoise.state_warp import warp_channels_last

Launch = Callable[[Sequence[Tensor], Sequence[Tensor]], None]
"""Fills the outputs of the deployed graph from its inputs, on the current stream."""

_WARM_UPS = 3
"""Launches before a CUDA graph is captured, as PyTorch's manual asks for."""


class TorchDeviceBackend:
    """One stream; two sets of state are written in turn.

    On CUDA, samples go up and come down through pinned memory as integers, packing and
    casts run on the device, and each of the two directions of the step is one CUDA
    graph. The calls do not overlap: the motion in the next frame is looked for in the
    result of this one.
    """

    def __init__(
        self,
        name: str,
        request: StepRequest,
        launch: Launch,
        device: str,
        state_dtypes: Sequence[torch.dtype],
    ) -> None:
        """Make room on the device and capture the step.

        Raises:
            DeviceMemoryError: there is not enough.
        """
        self.name = name
        self._device = torch.device(device)
        self._launch: Launch | None = launch
        self._names = request.artefact.state_names
        # PyTorch does little with 16 unsigned bits; ten bits fit the signed ones.
        samples = torch.uint8 if request.depth == 8 else torch.int16
        shapes = request.state_shapes
        sizes = plane_shapes_of(np.empty(shapes[0][1:], np.uint8))
        is_cuda = self._device.type == "cuda"
        with _memory_errors(name, request), self._device:
            self._pixels = torch.zeros(shapes[0])
            self._clean = torch.zeros(shapes[0])
            self._peak = torch.full((1, 1, 1, 1), float(request.peak))
            self._sigma = torch.zeros((1, request.artefact.sigmas))
            self._strength = torch.ones((1, 1, 1, 1))
            self._sets = [
                [
                    torch.zeros(shape, dtype=dtype)
                    for shape, dtype in zip(shapes, state_dtypes, strict=True)
                ]
                for _ in range(2)
            ]
            self._planes = [torch.zeros(s, dtype=samples) for s in sizes]
            self._host = [
                torch.zeros(s, dtype=samples, device="cpu", pin_memory=is_cuda)
                for s in sizes
            ]
            self._current = 0
            self._graphs = self._capture() if is_cuda else []
        self.reset()

    @torch.inference_mode()
    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
    ) -> tuple[np.ndarray, ...]:
        """See `Backend.step`."""
        self._sigma.copy_(torch.from_numpy(sigma[None].astype(np.float32)))
        self._strength.fill_(strength)
        for plane, host, device in zip(planes, self._host, self._planes, strict=True):
            # Copied by numpy: PyTorch warns of arrays that cannot be written.
            np.copyto(host.numpy(), plane.view(host.numpy().dtype))
            device.copy_(host, non_blocking=True)
        if self._graphs:
            self._graphs[self._current].replay()
        else:
            self._run(self._current)
        self._current = 1 - self._current
        for host, device in zip(self._host, self._planes, strict=True):
            host.copy_(device, non_blocking=True)
        if self._graphs:
            torch.cuda.current_stream(self._device).synchronize()
        return tuple(
            host.numpy().view(plane.dtype).copy()
            for host, plane in zip(self._host, planes, strict=True)
        )

    def _run(self, current: int) -> None:
        """Planes to planes, reading the current set of state and writing the other."""
        assert self._launch is not None
        for plane, block in zip(self._planes, _blocks(self._pixels), strict=True):
            side = block.shape[-1]
            block.copy_(_by_block(plane, side))
        told = (self._pixels, self._peak, self._sigma, self._strength)
        self._launch(
            (*told, *self._sets[current]), (self._clean, *self._sets[1 - current])
        )
        for plane, block in zip(self._planes, _blocks(self._clean), strict=True):
            _by_block(plane, block.shape[-1]).copy_(block)

    @torch.inference_mode()
    def _capture(self) -> list["torch.cuda.CUDAGraph"]:
        graphs = []
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._run(0)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        for current in (0, 1):
            graph = torch.cuda.CUDAGraph()
            # Other threads may be at work on the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._run(current)
            graphs.append(graph)
        return graphs

    @torch.inference_mode()
    def warp(self, flow: np.ndarray) -> None:
        """See `Backend.warp`; on the device."""
        vectors = torch.from_numpy(flow).to(self._device).permute(2, 0, 1)[None]
        state = self._sets[self._current]
        for name, held in zip(self._names, state, strict=True):
            if name == "fused":
                # A picture would be blurred a little every time by less than cubics.
                for block in _blocks(held):
                    side = block.shape[-1]
                    plane = _plane_of(block)[..., None]
                    moved = warp_channels_last(plane, vectors, "bicubic")
                    block.copy_(_by_block(moved[0, ..., 0], side))
                continue
            # What comes in at the edges counts as never seen.
            padding = "zeros" if name == "frames" else "border"
            held.copy_(warp_channels_last(held.float(), vectors, "bilinear", padding))

    @torch.inference_mode()
    def reset(self) -> None:
        """Return to a fresh start."""
        for held in self._sets[self._current]:
            held.zero_()

    @torch.inference_mode()
    def state(self) -> tuple[np.ndarray, ...]:
        """See `Backend.state`."""
        held = self._sets[self._current] if self._sets else []
        return tuple(tensor.float().cpu().numpy() for tensor in held)

    @torch.inference_mode()
    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """See `Backend.set_state`."""
        for held, array in zip(self._sets[self._current], state, strict=True):
            held.copy_(torch.from_numpy(array))

    def close(self) -> None:
        """Free the device's memory; may be called again."""
        self._graphs, self._sets, self._planes, self._launch = [], [], [], None


def _blocks(pixels: Tensor) -> Iterator[Tensor]:
    """The part of each plane: views ``(h, w, side, side)`` of ``(1, h, w, C)``."""
    _, height, width, channels = pixels.shape
    first = 0
    for plane in plane_shapes_of(np.empty((height, width, channels), np.uint8)):
        side = plane[0] // height
        part = pixels[0, :, :, first : first + side * side]
        yield part.unflatten(-1, (side, side))
        first += side * side


def _by_block(plane: Tensor, side: int) -> Tensor:
    """View a plane ``(H, W)`` as ``(h, w, side, side)``."""
    rows = plane.unflatten(0, (-1, side)).unflatten(2, (-1, side))
    return rows.permute(0, 2, 1, 3)


def _plane_of(block: Tensor) -> Tensor:
    """``(1, H, W)`` of the blocks ``(h, w, side, side)`` of a plane."""
    height, width, side, _ = block.shape
    return block.permute(0, 2, 1, 3).reshape(1, height * side, width * side)


@contextmanager
def _memory_errors(name: str, request: StepRequest) -> Iterator[None]:
    """Tell what did not fit, in place of the runtime's error."""
    try:
        yield
    except torch.OutOfMemoryError as exc:
        raise DeviceMemoryError(
            f"{name} has too little GPU memory for {request.width}x{request.height}; "
            "close other programs, or give --tile 1024"
        ) from exc
