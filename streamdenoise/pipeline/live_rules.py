"""Rules for a source that may be lost and come back, and the frames they change."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from streamdenoise.frame import Frame
from streamdenoise.pipeline.live_clock import LiveClock
from streamdenoise.pipeline.patience import Patience
from streamdenoise.progress import HANG_S

TICK_S = 0.2
"""Seconds between checks of a live pipeline that gets no frames."""


@dataclass(frozen=True, slots=True)
class LiveRules:
    """Rules that keep a pipeline running for months, whatever fails around it.

    An output that fails is left out while others work. A source that is blocked in a
    read does not delay the end of the run.
    """

    prepare: Callable[[], None] | None = None
    """Called before the first frame is denoised. Frames that arrive meanwhile are
    dropped, so that none has to wait."""
    wall_clock: bool = True
    """Whether timestamps come from a `LiveClock`."""
    hold: Callable[[Frame, float], Frame] | None = None
    """Makes the frame to write when none has arrived for a number of seconds, from the
    last clean one; None writes nothing. It needs `wall_clock`."""
    hold_after_s: float = 1.0
    """Silence, in seconds, after which that frame is written."""
    hang_s: Callable[[], float] = lambda: HANG_S
    """See `Stage.hang`."""


def file_rules() -> LiveRules:
    """Timestamps are kept, nothing is held, and a frame may take long."""
    return LiveRules(wall_clock=False, hang_s=Patience())


class LiveFrames:
    """Timestamps of the frames, and a stand-in for those that do not arrive."""

    def __init__(self, rules: LiveRules, time_base: Fraction) -> None:
        self._hold_after_s = rules.hold_after_s
        self._draw = rules.hold
        self._clock = LiveClock(time_base) if rules.wall_clock else None
        self._newest: Frame | None = None
        self._held_at = float("-inf")

    def stamp(self, frame: Frame) -> Frame:
        """`frame` with its timestamp on the wall clock, where that is wanted."""
        return frame if self._clock is None else self._clock.stamp(frame)

    def remember(self, clean: Frame) -> None:
        """Keep the last clean frame, for `held`."""
        self._newest = clean

    def held(self, now: float, silence_s: float) -> Frame | None:
        """The frame that stands in at `now`; None if none is due.

        Args:
            now: Seconds, on the clock of `Frame.captured_at`.
            silence_s: Time since the last frame arrived.
        """
        if (
            self._draw is None
            or self._clock is None
            or self._newest is None
            or silence_s < self._hold_after_s
            or now - self._held_at < TICK_S / 2
        ):
            return None
        self._held_at = now
        return self._clock.hold(self._draw(self._newest, silence_s), now)
