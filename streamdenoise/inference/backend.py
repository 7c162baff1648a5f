"""The protocol of backends, and the types in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamdenoise.imaging.flow_search import FlowSearch


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options for building an engine; backends reject unsupported ones."""

    compute_capabilities: tuple[str, ...] = ()
    """Compute capabilities of the GPUs to build for, such as ``8.9``; empty is the GPU
    of this machine."""
    hardware_compatible: bool = False
    """The engine also runs on other GPUs from Ampere on, but more slowly."""
    dynamic: bool = False
    """The engine takes all sizes up to its own."""


@dataclass(frozen=True, slots=True)
class LaneInput:
    """Input of one stream of a batch to a step; see `Backend.step`."""

    planes: Sequence[np.ndarray]
    sigma: np.ndarray


OnBuild = Callable[[str, int, int], bool]
"""Called with the phase of a build, the step in it, and its number of steps; returns
whether to continue."""


class Backend(Protocol):
    """A compiled step for one frame size and bit depth, with its state.

    The state stays in the backend and is never copied between frames. `warp` aligns it
    with the next frame; `state` and `set_state` hand it over to another backend.
    """

    name: str

    def step(
        self, planes: Sequence[np.ndarray], sigma: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Denoise one frame and advance the state.

        Args:
            planes: contiguous ``uint8`` or ``uint16`` planes of the size that the
                backend was loaded for (yuv420: ``(H, W)``, ``(H/2, W/2)`` twice).
            sigma: ``(levels,)`` float32 noise std in [0, 1], see `Artifact.levels`.

        Returns:
            New planes of the same shapes and dtype, owned by the caller.
        """
        ...

    def flow_search(self) -> FlowSearch | None:
        """How to search the motion of a stream, where its state is; None: on the host.

        Each call returns another one.
        """
        ...

    def warp(self, flow: np.ndarray) -> None:
        """Move the state along with the motion, to align it with the next frame.

        Args:
            flow: as `FlowEstimator.flow` returns it.
        """
        ...

    def shift(self, changes: Sequence[float]) -> None:
        """Make the picture in the state brighter, as the light has changed.

        Args:
            changes: of each plane, as shares of full scale.
        """
        ...

    def reset(self) -> None:
        """Return to a fresh start."""
        ...

    def state(self) -> tuple[np.ndarray, ...]:
        """The state, contiguous float32, in the order of the model's state names.

        It may share memory with the backend, and is valid until the next `step` or
        `warp`.
        """
        ...

    def is_finite(self, rows: slice) -> bool:
        """Whether some rows of the state, of each of its arrays, are numbers at all."""
        ...

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Replace the state by arrays as `state` gives them.

        The next `step` reads them without a copy, and `warp` may change them: they
        belong to the backend until then.
        """
        ...

    def close(self) -> None:
        """Free buffers and compiled code; may be called again."""
        ...


class BatchBackend(Backend, Protocol):
    """A backend with several streams of one size; as a `Backend` it is the first."""

    def lane(self, index: int) -> Backend:
        """One of the streams; its `close` may do nothing."""
        ...

    def step_lanes(
        self, inputs: Mapping[int, LaneInput]
    ) -> dict[int, tuple[np.ndarray, ...]]:
        """Denoise a frame of some streams in one call; the others stay as they are.

        Args:
            inputs: stream -> its input.

        Returns:
            Stream -> see `Backend.step`.
        """
        ...
