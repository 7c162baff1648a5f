"""Timestamps of one stream: present, strictly increasing, from 0 where it is live."""

import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol, TypeVar

# Frames held until the first known timestamp; after so many the stream has none.
_MAX_HELD = 8

# A smaller step back is a glitch of one frame, a larger one a new timeline.
_GLITCH_S = 1

ARRIVAL_TIME_BASE = Fraction(1, 90000)
"""Time base of `arrival_pts`."""


def arrival_pts() -> int:
    """A timestamp, in `ARRIVAL_TIME_BASE`, for a frame that arrives now.

    For formats without a clock, whose timestamps FFmpeg invents.
    """
    return int(time.monotonic() / ARRIVAL_TIME_BASE)


class _Timed(Protocol):
    pts: int | None


_TimedT = TypeVar("_TimedT", bound=_Timed)


class BestEffort:
    """Chooses between the two timestamps of each decoded frame.

    AVI and ASF hold one per packet, in decoding order: FFmpeg's guess of the other is
    wrong where there are B-frames. The one that has gone backward less often counts, as
    in FFmpeg's own ``best_effort_timestamp``.

    Args:
        one_time: Whether the format holds one time per packet; the decoding time is
            then preferred from the first frame on.
    """

    def __init__(self, *, one_time: bool) -> None:
        self._last: list[int | None] = [None, None]
        self._faults = [int(one_time), 0]

    def __call__(self, pts: int | None, dts: int | None) -> int | None:
        """The better one of the two times of the next frame; each may be missing."""
        for which, value in enumerate((pts, dts)):
            if value is None:
                continue
            last = self._last[which]
            self._faults[which] += last is not None and value <= last
            self._last[which] = value
        return dts if pts is None or self._faults[0] > self._faults[1] else pts


class TimestampRepair:
    """Fills in missing timestamps and corrects those that run backward.

    RTSP servers leave the first one out, raw streams all of them, and joined
    recordings start again in the middle. Good timestamps of a file pass unchanged; a
    live stream, whose clock counts from anywhere, such as 1970, begins at 0.
    """

    def __init__(
        self,
        time_base: Fraction,
        frame_rate: Fraction | None,
        *,
        from_zero: bool = False,
    ) -> None:
        step = 1 / (frame_rate or Fraction(25)) / time_base
        self._step = max(1, round(step))
        self._glitch = _GLITCH_S / time_base
        self._from_zero = from_zero
        self._offset = 0
        self._last: int | None = None
        self.corrected = 0
        """Timestamps that did not increase."""

    @property
    def offset(self) -> int:
        """What is added to the timestamps of the stream by now."""
        return self._offset

    def __call__(self, frames: Iterable[_TimedT]) -> Iterator[_TimedT]:
        """Yield `frames`, each with a `pts` greater than the one before."""
        held: list[_TimedT] = []
        for frame in frames:
            if self._last is None and frame.pts is None and len(held) < _MAX_HELD:
                held.append(frame)
                continue
            if held:
                yield from self._release(held, frame.pts)
                held = []
            yield self._repair(frame)
        yield from self._release(held, None)

    def _release(self, held: list[_TimedT], known: int | None) -> Iterator[_TimedT]:
        first = 0 if known is None else known - len(held) * self._step
        for position, frame in enumerate(held):
            frame.pts = first + position * self._step
            yield self._repair(frame)

    def _repair(self, frame: _TimedT) -> _TimedT:
        last = self._last
        if last is None and self._from_zero:
            self._offset = -(frame.pts or 0)
        if frame.pts is None:
            pts = 0 if last is None else last + self._step
        else:
            pts = frame.pts + self._offset
        if last is not None and pts <= last:
            self.corrected += 1
            if last - pts < self._glitch:
                pts = last + 1
            else:
                self._offset += last + self._step - pts
                pts = last + self._step
        elif last is not None and frame.pts is not None:
            self._step = pts - last
        frame.pts = self._last = pts
        return frame
