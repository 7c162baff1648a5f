"""State in the host's memory."""

from collections.abc import Sequence

import numpy as np

from streamdenoise.imaging.blocks import changes_of_channels
from streamdenoise.imaging.state_warper import StateWarper, why_not_compiled
from streamdenoise.inference.step_request import StepRequest


class HostState:
    """Base of backends that keep their state in a list of arrays, `self._state`."""

    def __init__(self, request: StepRequest) -> None:
        self.name = request.backend
        self._names = request.artifact.state_names
        self._state_shapes = request.state_shapes
        self._warper: StateWarper | None = None
        if self._names:
            why_not_compiled()  # no frame should wait for the compiler
        self._state: list[np.ndarray] = []
        self.reset()

    def reset(self) -> None:
        """Return to a fresh start."""
        self.set_state([np.zeros(shape, np.float32) for shape in self._state_shapes])

    def state(self) -> tuple[np.ndarray, ...]:
        return tuple(self._state)

    def is_finite(self, rows: slice) -> bool:
        """See `Backend.is_finite`."""
        return all(bool(np.isfinite(each[:, rows]).all()) for each in self._state)

    def set_state(self, state: Sequence[np.ndarray]) -> None:
        self._state = list(state)

    def flow_search(self) -> None:
        """See `Backend.flow_search`."""

    def warp(self, flow: np.ndarray) -> None:
        """See `Backend.warp`; until the next step the arrays belong to the warper."""
        state = dict(zip(self._names, self._state, strict=True))
        self._warper = self._warper or StateWarper(state)
        self.set_state(tuple(self._warper.warp(state, flow).values()))

    def shift(self, changes: Sequence[float]) -> None:
        """See `Backend.shift`."""
        number = self._names.index("fused")
        fused = self._state[number]
        # A copy: the arrays may be the caller's or the runtime's.
        shifted = fused + changes_of_channels(changes, fused.shape[-1])
        self.set_state([*self._state[:number], shifted, *self._state[number + 1 :]])

    def close(self) -> None:
        """Free the state; may be called again."""
        self._state, self._warper = [], None
