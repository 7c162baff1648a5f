"""The part of 16 bits that the samples of an image use.

Scientific and medical images often use a small part: 12 bits, or fewer around an
offset. Networks see that part as their full scale, so that its noise is neither too
small for them nor lost in rounding.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from streamdenoise.frame import Frame, bit_depth
from streamdenoise.imaging.bands import bands

ENGINE_BITS = 15
"""Engines of PyTorch take signed 16-bit integers."""

_PEAK = (1 << 16) - 1
_ENGINE_PEAK = (1 << ENGINE_BITS) - 1
_OUTLIERS = 0.1
"""Percentage of the samples at each end that may be defects or stars."""
_ROOM = 0.25
"""Share of the range that is added at each end, as noise goes both ways."""
_LEAST_SPAN = 255
"""Below this the steps of the samples would pass for noise."""
_SAMPLES = 1 << 18


def engine_bits(pix_fmt: str) -> int:
    """Bits per sample that engines see of one of `PIX_FMTS`."""
    return min(bit_depth(pix_fmt), ENGINE_BITS)


@dataclass(frozen=True, slots=True)
class SampleRange:
    """A range of samples of 16 bits.

    Attributes:
        low: its first value.
        high: its last value.
    """

    low: int
    high: int

    @classmethod
    def of(cls, samples: np.ndarray) -> Self:
        """The range for samples ``(H, W)`` or ``(H, W, 3)``."""
        return cls.around(*_ends(samples))

    @classmethod
    def around(cls, low: int, high: int) -> Self:
        """A range with some room; all 16 bits if that is more than half of them."""
        room = max(_ROOM * (high - low), (_LEAST_SPAN - (high - low)) / 2, 1)
        low, high = max(0, round(low - room)), min(_PEAK, round(high + room))
        if 2 * (high - low) > _PEAK:
            return cls(0, _PEAK)
        return cls(low, max(high, low + _LEAST_SPAN))

    @property
    def span(self) -> int:
        return self.high - self.low

    def serves(self, samples: np.ndarray) -> bool:
        """Whether it is good for another image, too: no less, not far more."""
        low, high = _ends(samples)
        is_inside = self.low <= low and high <= self.high
        return is_inside and self.span < 4 * self.around(low, high).span

    def gain(self, frame: Frame) -> float:
        """Factor from levels of the format's full scale to levels of the range."""
        return frame.full_scale / self.span

    def narrowed(self, samples: np.ndarray) -> np.ndarray:
        """``uint16`` samples in which the range is the full scale of `ENGINE_BITS`."""
        factor = np.float32(_ENGINE_PEAK / self.span)
        narrowed = np.empty_like(samples)
        for rows in bands(len(samples)):
            scaled = (samples[rows].astype(np.float32) - self.low) * factor
            narrowed[rows] = np.rint(scaled).clip(0, _ENGINE_PEAK)
        return narrowed

    def restored(
        self, samples: np.ndarray, narrowed: np.ndarray, cleaned: np.ndarray
    ) -> np.ndarray:
        """`samples` with the change from `narrowed` to `cleaned`.

        Samples outside of the range stay as they are.
        """
        factor = np.float32(self.span / _ENGINE_PEAK)
        restored = samples.copy()
        for rows in bands(len(samples)):
            part = samples[rows]
            change = cleaned[rows].astype(np.float32) - narrowed[rows]
            changed = np.rint(part + change * factor).clip(0, _PEAK)
            is_inside = (part >= self.low) & (part <= self.high)
            np.copyto(restored[rows], changed, "unsafe", where=is_inside)
        return restored


class RangeFollower:
    """Keeps the range of a stream while it serves, as networks remember frames."""

    def __init__(self) -> None:
        self._range: SampleRange | None = None

    def update(self, samples: np.ndarray) -> tuple[SampleRange, bool]:
        """The range for the next frame, and whether it has changed."""
        last = self._range
        if last is not None and last.serves(samples):
            return last, False
        self._range = SampleRange.of(samples)
        return self._range, last is not None

    def reset(self) -> None:
        """Forget the stream."""
        self._range = None


def _ends(samples: np.ndarray) -> tuple[int, int]:
    """The lowest and the highest sample, without outliers."""
    step = max(1, round((samples.size / _SAMPLES) ** 0.5))
    few = samples[::step, ::step]
    low, high = np.percentile(few, (_OUTLIERS, 100 - _OUTLIERS), method="nearest")
    return int(low), int(high)
