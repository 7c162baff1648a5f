"""A step in tiles, for single images that are large."""

from collections.abc import Sequence

import numpy as np

from streamdenoise.denoisers.spinning import MOST_SHIFT, scales_of
from streamdenoise.denoisers.step_runner import Step, StepAround
from streamdenoise.inference.tiles import Span, scaled, spans, tile_for, usual_tile

_MULTIPLE = 8
"""Tiles begin on the grid of the network's blocks."""
_BYTES_PER_PX = 300
"""Of an engine for whole images, and of the sums of `SpinningStep`."""
_MOST_UNDIVIDED_PX = 8_000_000
"""Larger images take less time in tiles, too, which stay in the processor's caches."""


class TiledStep(StepAround):
    """A `Step` for images that have no past; the result is that of the whole image.

    Unlike `TiledBackend` it keeps no state of the whole image, which takes more memory
    than everything else together.
    """

    def __init__(self, step: Step, layout: str, tile: int | None = None) -> None:
        """Wrap a step.

        Args:
            step: a `SpinningStep`; its state is not used.
            layout: layout of the planes, ``yuv420`` or ``rgb``.
            tile: largest side of the tiles, in pixels; None divides large images only.
        """
        super().__init__(step)
        self._scales = scales_of(layout)
        self._tile = tile
        self.loss_db = step.loss_db

    def run(
        self, planes: Sequence[np.ndarray], profile: np.ndarray, depth: int
    ) -> tuple[np.ndarray, ...]:
        height, width = planes[0].shape
        side = self._tile or usual_tile(
            height, width, _BYTES_PER_PX, _MOST_UNDIVIDED_PX
        )
        if side is None:
            return self._step.run(planes, profile, depth)
        padded_height, padded_width = _padded(height), _padded(width)
        tile = tile_for(padded_height, padded_width, side)
        cleaned = tuple(np.empty_like(plane) for plane in planes)
        for rows in _spans(padded_height, tile[0]):
            for columns in _spans(padded_width, tile[1]):
                seen = (rows.seen, columns.seen)
                crops = [
                    np.ascontiguousarray(plane[scaled(seen, scale)])
                    for plane, scale in zip(planes, self._scales, strict=True)
                ]
                parts = self._step.run(crops, profile, depth)
                kept, inner = (rows.kept, columns.kept), (rows.inner, columns.inner)
                for whole, part, scale in zip(
                    cleaned, parts, self._scales, strict=True
                ):
                    whole[scaled(kept, scale)] = part[scaled(inner, scale)]
        return cleaned


def _padded(length: int) -> int:
    """Side of a plane of this side in the engine, after `SpinningStep`."""
    return -(-(length + MOST_SHIFT) // _MULTIPLE) * _MULTIPLE


def _spans(padded: int, tile: int) -> list[Span]:
    """Tiles along one side of a plane, which `SpinningStep` enlarges to `tile`.

    The last one ends beyond the plane, as the padding of the whole plane does.
    """
    found = spans(padded, tile)
    for span in found:
        span.seen = slice(span.seen.start, span.seen.stop - MOST_SHIFT)
    return found
