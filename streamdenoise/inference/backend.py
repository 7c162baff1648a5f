"""The protocol of backends, and the types in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options for building an engine; backends reject unsupported ones."""

    compute_capabilities: tuple[str, ...] = ()
    """Compute capabilities of the GPUs to build for, such as ``8.9``; empty is the GPU
    of this machine."""
    version_compatible: bool = False
    """The engine also runs on later versions of the runtime, but more slowly."""
    hardware_compatible: bool = False
    """The engine also runs on other GPUs from Ampere on, but more slowly."""
    dynamic: bool = False
    """The engine takes all sizes up to its own."""


@dataclass(frozen=True, slots=True)
class LaneInput:
    """Input of one stream of a batch to a step; see `Backend.step`."""

    planes: Sequence[np.ndarray]
    sigma: np.ndarray
    strength: float = 1.0


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
        self, planes: Sequence[np.ndarray], sigma: np.ndarray, strength: float = 1.0
    ) -> tuple[np.ndarray, ...]:
        """Denoise one frame and advance the state.

        Args:
            planes: contiguous ``uint8`` or ``uint16`` planes of the size that the
                backend was loaded for (yuv420: ``(H, W)``, ``(H/2, W/2)`` twice).
            sigma: ``(P,)`` float32 noise std of each plane in [0, 1].
            strength: factor on the level that the model works with, which differs
                from `sigma` where the model corrects it.

        Returns:
            New planes of the same shapes and dtype, owned by the caller.
        """
        ...

    def warp(self, flow: np.ndarray) -> None:
        """Move the state along with the motion, to align it with the next frame.

        Args:
            flow: as `FlowEstimator.flow` returns it.
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

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Replace the state by arrays as `state` gives them.

        The next `step` reads them without a copy; they must not change before.
        """
        ...

    def close(self) -> None:
        """Free buffers and compiled code; may be called again."""
        ...
