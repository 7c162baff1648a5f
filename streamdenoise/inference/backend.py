"""What a backend is, and what it is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is built; what a backend cannot do it refuses."""

    compute_capabilities: tuple[str, ...] = ()
    """GPUs to build for, such as ``8.9``, where the runtime can; empty is this one."""
    version_compatible: bool = False
    """Also for later versions of the runtime, at some cost of speed."""
    hardware_compatible: bool = False
    """Also for other GPUs from Ampere on, at some cost of speed."""
    dynamic: bool = False
    """One engine for all sizes up to the one that is asked for."""


@dataclass(frozen=True, slots=True)
class LaneInput:
    """What one stream of a batch gives to a step; see `Backend.step`."""

    planes: Sequence[np.ndarray]
    sigma: np.ndarray
    strength: float = 1.0


OnBuild = Callable[[str, int, int], bool]
"""Told the phase of a build, the step in it, and its steps; False stops the build."""


class Backend(Protocol):
    """A compiled step for one frame size and bit depth, with its state beside it.

    The state stays in the backend and is never copied between frames; `warp` moves it
    there, `state` and `set_state` carry it over to another backend.
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
            strength: factor on the level that the model works with, which may be
                another than `sigma` where it corrects that.

        Returns:
            New planes of the same shapes and dtype, owned by the caller.
        """
        ...

    def warp(self, flow: np.ndarray) -> None:
        """Bring the state to where the next picture is.

        Args:
            flow: as `FlowEstimator.flow` returns it.
        """
        ...

    def reset(self) -> None:
        """Return to a fresh start."""
        ...

    def state(self) -> tuple[np.ndarray, ...]:
        """The state, contiguous float32, in the order of the model's state names.

        May share memory with the backend: it is good until the next `step` or `warp`.
        """
        ...

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        """Replace the state by arrays as `state` gives them.

        They are read, not copied, by the next `step`, and let go after it.
        """
        ...

    def close(self) -> None:
        """Free buffers and compiled code; may be called again."""
        ...
