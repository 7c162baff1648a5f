"""One timeline for all streams of a file: without jumps, from a meaningful zero."""

from dataclasses import dataclass, field
from fractions import Fraction

import av

# Steps back up to this long are glitches of one stream, not another recording.
_GLITCH = Fraction(1, 2)

# A packet this near to its place is there.
_NEAR = Fraction(1, 10)

# Longest silence of transport streams that is one: FFmpeg's limit, too.
_LONGEST_GAP = Fraction(10)


@dataclass(slots=True)
class _Track:
    """A stream that flows steadily: video or audio."""

    offset: Fraction
    reorders: bool
    """Whether packets may come in another order than they are shown in."""
    end: Fraction | None = None
    """End of its last packet on the common timeline; None before the first one."""
    behind: int = 0
    """How many packets in a row, up to the last one, lie well before the end."""


@dataclass(slots=True)
class Timeline:
    """Moves the timestamps of packets, in the order of the file, to one timeline.

    Joined recordings start again from another time, and clocks of transport streams
    wrap or are set. The stream that shows it first moves the origin of all: each other
    one keeps the old origin until its own packets fit the new one better, so the
    offsets between streams are kept.

    Args:
        origin: Time of the file that becomes zero, in seconds.
        closes_gaps: Whether silence of all streams for over 10 s is a jump of the
            clock, as in transport streams.
    """

    origin: Fraction = Fraction(0)
    closes_gaps: bool = False
    jumps: list[tuple[Fraction, Fraction]] = field(
        default_factory=list[tuple[Fraction, Fraction]]
    )
    """Each jump: when it was, and its length, in seconds."""
    _offsets: list[Fraction] = field(default_factory=list[Fraction])
    _tracks: dict[int, _Track] = field(default_factory=dict[int, _Track])

    def __post_init__(self) -> None:
        self._offsets.append(-self.origin)

    def move(self, packet: av.Packet) -> Fraction | None:
        """Put `packet` on the common timeline, in place.

        Returns:
            Its time in seconds; None if it has no timestamp.
        """
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or not packet.time_base:
            return None
        time = stamp * packet.time_base
        if packet.stream.type in ("video", "audio"):
            offset = self._offset(packet, time)
        else:
            # Subtitles come now and then: only the others tell where they belong.
            offset = min(self._offsets, key=lambda each: abs(time + each - self._front))
        ticks = round(offset / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return time + offset

    @property
    def _front(self) -> Fraction:
        """The latest end of a packet so far."""
        ends = (track.end for track in self._tracks.values())
        return max((end for end in ends if end is not None), default=Fraction(0))

    def _offset(self, packet: av.Packet, time: Fraction) -> Fraction:
        track = self._tracks.get(packet.stream_index)
        if track is None:
            track = _Track(self._offsets[-1], packet.stream.type == "video")
            self._tracks[packet.stream_index] = track
        duration = (packet.duration or 0) * packet.time_base
        if track.end is not None:
            self._follow(track, track.end, time)
        elif len(self._offsets) > 1:
            track.offset = min(
                self._offsets, key=lambda each: abs(time + each - self._front)
            )
        end = time + track.offset + duration
        track.end = end if track.end is None else max(track.end, end)
        return track.offset

    def _follow(self, track: _Track, expected: Fraction, time: Fraction) -> None:
        """Choose the offset with which a packet at `time` continues its track."""
        best = min(self._offsets, key=lambda each: abs(time + each - expected))
        if abs(time + best - expected) < _NEAR < abs(time + track.offset - expected):
            track.offset = best
        distance = time + track.offset - expected
        track.behind = track.behind + 1 if distance < -_NEAR else 0
        # One packet of sound that steps back is a glitch, two are another recording.
        is_behind = track.behind > 1 and not track.reorders
        if abs(distance) < _GLITCH and not is_behind:
            return
        front = self._front
        limit = front + _LONGEST_GAP if self.closes_gaps else None
        fitting = [
            each
            for each in self._offsets
            if time + each > expected - (_NEAR if is_behind else _GLITCH)
            and (limit is None or time + each <= limit)
        ]
        if fitting:
            track.offset = min(fitting, key=lambda each: time + each - expected)
            return
        track.behind = 0
        self.jumps.append((front, distance))
        track.offset = front - time
        # Older recordings have ended: two cover what is still interleaved.
        self._offsets = [*self._offsets[-2:], track.offset]
