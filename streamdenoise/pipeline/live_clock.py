"""Timestamps of a stream that may be lost, come back and start anew."""

from dataclasses import replace
from fractions import Fraction

from streamdenoise.frame import Frame

_JUMP_S = 1.0
"""A camera's clock that goes so much further than ours between two frames is not
followed."""

_LATE_S = 1.0
"""Frames that are older than what was shown last for so long have a new clock."""

_DRIFT_S = 0.5
_SMOOTHING_S = 60.0
_SLEW = 0.01
"""Cameras' clocks drift by seconds a day. Once they are `_DRIFT_S` off, on an average
over `_SMOOTHING_S`, each step is made longer or shorter by `_SLEW`."""


class LiveClock:
    """Gives every frame a pts that increases, keeps the camera's steps, and stays near
    the wall clock, whatever the camera's own clock does.

    The first frame is at 0. A frame whose own timestamp jumps, back or far ahead, goes
    where the wall clock says: this is the one place that joins the sessions of a
    `ReconnectingSource` to one timeline. So do frames that come after held pictures had
    been shown in their place, as from a network that stalled: they are not left out,
    and nobody has to wait for what is on the screen already.
    """

    def __init__(self, time_base: Fraction) -> None:
        """Make timestamps in units of `time_base`, in seconds."""
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
        """The same picture at its time on this clock; `captured_at` is when it came."""
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
        """`frame` once more, at the moment `now` of ``time.monotonic()``."""
        return self._at(frame, now - (self._zero or 0.0))

    @property
    def _shown_s(self) -> float:
        return 0.0 if self._last is None else self._last * self._tick

    def _slew(self, lead: float, step: float) -> None:
        """Follow our clock slowly; `lead` is how far the camera's is ahead of it."""
        share = min(1.0, max(0.0, step) / _SMOOTHING_S)
        self._lead += (lead - self._lead) * share
        if abs(self._lead) > _DRIFT_S and 0 < step < _JUMP_S:
            correction = _SLEW * step if self._lead > 0 else -_SLEW * step
            self._offset -= correction
            self._lead -= correction

    def _not_late(self, moment: float, camera: float, arrival: float) -> float:
        """`moment`, or the time of arrival where something later was shown already."""
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
