"""Timestamps for a stream that may be lost and start again at another time."""

from dataclasses import replace
from fractions import Fraction

from streamdenoise.frame import Frame

_JUMP_S = 1.0
"""A step of the camera's clock that is longer than ours by this much is a jump."""

_LATE_S = 1.0
"""When frames have been older than the last one shown for this long, the camera's clock
counts as a new one."""

_DRIFT_S = 0.5
_SMOOTHING_S = 60.0
_SLEW = 0.01
"""Cameras' clocks drift by seconds a day. Once one is off by `_DRIFT_S`, averaged over
`_SMOOTHING_S`, each step is made longer or shorter by the fraction `_SLEW`."""


class LiveClock:
    """Gives frames timestamps that increase and stay near the wall clock.

    Steps between frames are those of the camera's clock. The first frame is at 0. A
    frame whose own timestamp jumps, back or far ahead, gets the wall clock's time: this
    is the one place that joins the sessions of a `ReconnectingSource` to one timeline.
    So do frames that arrive after held frames were shown in their place, as from a
    network that stalled; none of them is dropped.
    """

    def __init__(self, time_base: Fraction) -> None:
        """`time_base` is the unit of the timestamps, in seconds."""
        self.time_base = time_base
        self._tick = float(time_base)
        self._zero: float | None = None
        self._offset = 0.0
        self._camera = 0.0
        self._arrival = 0.0
        self._late_since: float | None = None
        self._lead = 0.0
        self._last: int | None = None

    def stamp(self, frame: Frame) -> Frame:
        """The frame with its time on this clock; it arrived at `captured_at`."""
        camera = float(frame.pts * frame.time_base)
        if self._zero is None:
            self._zero = frame.captured_at
            self._offset = -camera
        arrival = frame.captured_at - self._zero
        step, waited = camera - self._camera, arrival - self._arrival
        if self._last is not None and not 0 < step <= waited + _JUMP_S:
            self._offset = max(arrival, self._shown_s + self._tick) - camera
            self._lead = 0.0
        self._slew(camera + self._offset - arrival, step)
        moment = self._not_late(camera + self._offset, camera, arrival)
        self._camera, self._arrival = camera, arrival
        return self._at(frame, moment)

    def hold(self, frame: Frame, now: float) -> Frame:
        """`frame` again, at the time `now` of ``time.monotonic()``."""
        return self._at(frame, now - (self._zero or 0.0))

    @property
    def _shown_s(self) -> float:
        return 0.0 if self._last is None else self._last * self._tick

    def _slew(self, lead: float, step: float) -> None:
        """Follow our clock slowly; the camera's is ahead of it by `lead`."""
        share = min(1.0, max(0.0, step) / _SMOOTHING_S)
        self._lead += (lead - self._lead) * share
        if abs(self._lead) > _DRIFT_S and 0 < step < _JUMP_S:
            correction = _SLEW * step if self._lead > 0 else -_SLEW * step
            self._offset -= correction
            self._lead -= correction

    def _not_late(self, moment: float, camera: float, arrival: float) -> float:
        """`moment`, or the time of arrival if something later was shown already."""
        if self._last is None or moment > self._shown_s:
            self._late_since = None
            return moment
        if self._late_since is None:
            self._late_since = arrival
        moment = max(arrival, self._shown_s + self._tick)
        if arrival - self._late_since > _LATE_S:
            self._offset = moment - camera
            self._late_since = None
        return moment

    def _at(self, frame: Frame, moment: float) -> Frame:
        pts = round(moment / self._tick)
        if self._last is not None:
            pts = max(pts, self._last + 1)
        self._last = pts
        return replace(frame, pts=pts, time_base=self.time_base)
