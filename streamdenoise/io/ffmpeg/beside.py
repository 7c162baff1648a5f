"""What a file holds beside its video: other streams, chapters, tags."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from streamdenoise.io.ffmpeg.codecs import SourceSettings

if TYPE_CHECKING:
    from av.container.core import Chapter

# In a well-formed file, streams are interleaved within this distance.
INTERLEAVING_S = 5

# First packets of each stream that are kept for trials of a muxer.
_SAMPLES = 4

_LATE_S = 1

Timed = tuple[Fraction, av.Packet]
"""A packet, and its time in seconds on the timeline of the output."""


@dataclass(slots=True)
class Beside:
    """Everything beside the video that a source reads on the way to it.

    The source reads each packet of the file once and leaves those of other streams
    here; the sink takes them from here. Both may do so at the same time.

    Args:
        container: The input; it stays open as long as the source.
        video: The stream that is denoised.
        streams: The streams to carry, without attachments.
        origin: Time of the file that is zero on the timeline of the source.
        begin: Time of the source that becomes zero in the output, in seconds.
        end: First time that is left out; None for all.
    """

    container: InputContainer
    video: av.VideoStream
    streams: Sequence[Stream]
    origin: Fraction
    begin: Fraction
    end: Fraction | None
    samples: dict[int, list[av.Packet]] = field(
        default_factory=dict[int, list[av.Packet]]
    )
    """The first packets of each stream."""
    is_wanted: bool = False
    """Whether a sink takes the packets; else they are dropped."""
    is_complete: bool = False
    """Whether the source has read up to the end."""
    _is_read: bool = False
    _queue: deque[Timed] = field(default_factory=deque[Timed])

    def take(self) -> None:
        """Say that a sink takes the packets; without it they are dropped."""
        self.is_wanted = True

    def add(self, moment: Fraction | None, packet: av.Packet) -> None:
        """Leave a packet, at `moment` seconds on the timeline of the source."""
        is_dropped = not self.is_wanted and self._is_read
        if moment is None:
            moment = self.begin  # cover art has no time
        if is_dropped or self._is_outside(packet, moment):
            return
        ticks = round(self.begin / packet.time_base)
        if ticks:
            _clip_start(packet, ticks)
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
        self._queue.append((max(moment, self.begin) - self.begin, packet))

    def sample(self, packet: av.Packet) -> None:
        """Keep a copy of `packet` if it is one of the first of its stream."""
        samples = self.samples.setdefault(packet.stream_index, [])
        if len(samples) < _SAMPLES:
            samples.append(clone(packet))

    def forget(self) -> None:
        """Drop all packets, after a seek."""
        self._queue.clear()
        self.samples.clear()

    def begin_reading(self) -> None:
        """From now on, drop the packets if no sink takes them."""
        self._is_read = True
        if not self.is_wanted:
            self._queue.clear()

    def until(self, moment: Fraction) -> Iterator[Timed]:
        """Take the packets up to `moment`, in seconds of the output."""
        while self._queue and self._queue[0][0] <= moment:
            yield self._queue.popleft()

    def rest(self) -> Iterator[Timed]:
        """Take all packets that are left."""
        while self._queue:
            yield self._queue.popleft()

    @property
    def has_late_sound(self) -> bool:
        """Whether a sound track begins long after the video, or may never."""
        return any(
            stream.index not in self.samples
            or _time(self.samples[stream.index][0]) > self.begin + _LATE_S
            for stream in self.streams
            if stream.type == "audio"
        )

    @property
    def has_cover_art(self) -> bool:
        """Whether one of the streams is an attached image."""
        return any(
            stream.disposition & Disposition.attached_pic for stream in self.streams
        )

    def settings(self) -> SourceSettings:
        """Codec and bit rate of the input's video."""
        bit_rate = self.video.bit_rate
        if not bit_rate and self.container.bit_rate:
            # One without a decoder has no bit rate at all.
            others = sum(
                each.bit_rate or 0
                for each in self.container.streams.audio
                if each.codec_context
            )
            bit_rate = max(self.container.bit_rate - others, 0)
        return SourceSettings(
            codec=self.video.codec_context.codec.canonical_name,
            bit_rate=bit_rate or None,
        )

    def chapters(self) -> "list[Chapter]":
        """The chapters of the part that is read, on the timeline of the output."""
        chapters: list[Chapter] = []
        for chapter in self.container.chapters():
            time_base = chapter["time_base"]
            if time_base is None:
                continue
            shift = self.origin + self.begin
            begin = max(chapter["start"] * time_base - shift, Fraction(0))
            end = chapter["end"] * time_base - shift
            if self.end is not None:
                end = min(end, self.end - self.begin)
            if end <= begin:
                continue
            ticks = round(begin / time_base), round(end / time_base)
            chapters.append({**chapter, "start": ticks[0], "end": ticks[1]})
        return chapters

    def _is_outside(self, packet: av.Packet, moment: Fraction) -> bool:
        """Whether a packet is outside of the part; a subtitle counts by its end."""
        if self.end is not None and moment >= self.end:
            return True
        if not self.begin:
            return False
        if packet.stream.type == "subtitle" and packet.duration:
            return moment + packet.duration * packet.time_base <= self.begin
        return moment < self.begin


def clone(packet: av.Packet) -> av.Packet:
    """A copy that can be muxed while the packet itself is used elsewhere."""
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
    copy.stream = packet.stream
    return copy


def _time(packet: av.Packet) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return (stamp or 0) * packet.time_base


def _clip_start(packet: av.Packet, ticks: int) -> None:
    """Begin a subtitle at the start if it began earlier."""
    if packet.pts is not None and packet.pts < ticks and packet.duration:
        packet.duration = max(1, packet.duration - (ticks - packet.pts))
        packet.pts = packet.dts = ticks
