"""Timestamps for a stream that may be lost and start again at another time."""

from dataclasses import replace
from fractions import Fraction
from math import copysign

from streamdenoise.frame import Frame

_JUMP_S = 1.0
_SLOWEST_S = 10.0
"""A step of the camera's clock that is longer than ours by this much, and by the step
before up to `_SLOWEST_S`, is a jump: frames may arrive together."""

_LATE_S = 1.0
"""When frames have been older than the last one shown for this long, the camera's clock
counts as a new one."""

_DRIFT_S = 0.5
_SMOOTHING_S = 60.0
_SLEW = 0.01
_FASTEST_SLEW = 0.1
"""Cameras' clocks drift by seconds a day. Once one is off by `_DRIFT_S`, averaged over
`_SMOOTHING_S`, each step is made longer or shorter by the fraction `_SLEW`, and by more
if it is off by more."""

_AHEAD_S = 5.0
"""Timestamps are never further ahead than this: a camera's clock may run fast."""

_BEHIND_S = 5.0
_BEHIND_FOR_S = 30.0
"""If all frames have been older than `_BEHIND_S` for this long, the camera's clock
counts as a new one: it may run slowly. A burst after a stall is over sooner."""


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
        self._usual_step = 0.0
        self._arrival = 0.0
        self._late_since: float | None = None
        self._behind_since: float | None = None
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
        if self._last is not None:
            is_jump = not 0 < step <= waited + _JUMP_S + self._usual_step
            self._usual_step = 0.0 if is_jump else min(step, _SLOWEST_S)
            if is_jump or self._is_behind(camera, arrival):
                self._offset = max(arrival, self._next_s) - camera
                self._lead = 0.0
            self._slew(camera + self._offset - arrival, step)
            latest = max(arrival + _AHEAD_S, self._next_s)
            self._offset = min(self._offset, latest - camera)
        moment = self._not_late(camera + self._offset, camera, arrival)
        self._camera, self._arrival = camera, arrival
        return self._at(frame, moment)

    def hold(self, frame: Frame, now: float) -> Frame:
        """`frame` again, at the time `now` of ``time.monotonic()``."""
        return self._at(replace(frame, source_s=None), now - (self._zero or 0.0))

    @property
    def _shown_s(self) -> float:
        return 0.0 if self._last is None else self._last * self._tick

    @property
    def _next_s(self) -> float:
        """The earliest time of the next frame."""
        return self._shown_s + self._tick

    def _is_behind(self, camera: float, arrival: float) -> bool:
        """Whether frames have been too old for long."""
        if camera + self._offset - arrival > -_BEHIND_S:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = arrival
        elif arrival - self._behind_since > _BEHIND_FOR_S:
            self._behind_since = None
            return True
        return False

    def _slew(self, lead: float, step: float) -> None:
        """Follow our clock slowly; the camera's is ahead of it by `lead`."""
        if step <= 0:
            return
        self._lead += (lead - self._lead) * min(1.0, step / _SMOOTHING_S)
        if abs(self._lead) > _DRIFT_S:
            slew = min(_FASTEST_SLEW, _SLEW * abs(self._lead) / _DRIFT_S)
            correction = copysign(slew * step, self._lead)
            self._offset -= correction
            self._lead -= correction

    def _not_late(self, moment: float, camera: float, arrival: float) -> float:
        """`moment`, or the time of arrival if something later was shown already."""
        if self._last is None or moment > self._shown_s:
            self._late_since = None
            return moment
        if self._late_since is None:
            self._late_since = arrival
        moment = max(arrival, self._next_s)
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
