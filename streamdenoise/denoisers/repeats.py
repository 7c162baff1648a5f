"""Frames that repeat the last one: frozen streams, duplicates, telecine.

Their noise repeats too, so a model that averages over time would take it for detail.
"""

from collections.abc import Sequence

import numpy as np

_FIRST_LOOK = np.s_[::32]


class Repeats:
    """Remembers what was made of the last frame of a stream."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._seen: list[np.ndarray] = []
        self._made: tuple[np.ndarray, ...] | None = None

    def made_of(self, planes: Sequence[np.ndarray]) -> tuple[np.ndarray, ...] | None:
        """What was made of the last frame, if these planes are the same; else None."""
        if len(planes) != len(self._seen):
            return None
        pairs = list(zip(planes, self._seen, strict=True))
        if all(
            np.array_equal(a[_FIRST_LOOK], b[_FIRST_LOOK]) for a, b in pairs
        ) and all(np.array_equal(a, b) for a, b in pairs):
            return self._made
        return None

    def remember(
        self, planes: Sequence[np.ndarray], made: tuple[np.ndarray, ...] | None
    ) -> None:
        """Keep a copy of a frame's planes, which a source may overwrite."""
        if [p.shape for p in planes] != [p.shape for p in self._seen]:
            self._seen = [np.empty_like(plane) for plane in planes]
        for kept, plane in zip(self._seen, planes, strict=True):
            np.copyto(kept, plane)
        self._made = made
