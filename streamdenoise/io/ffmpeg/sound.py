"""The sound of a live source: its last seconds, for any number of outputs."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from threading import Condition
from typing import Self

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream

log = logging.getLogger(__name__)

# Outputs that are later than this have lost frames, too.
_KEPT_S = 30.0
_KEPT_BYTES = 16_000_000

# Of a packet's objects: tiny packets at one time would otherwise take gigabytes.
_PACKET_BYTES = 256

# Between the times of two sessions, so that nothing of one is near the other.
_BETWEEN_SESSIONS_S = 100.0

# A packet this long before the previous one shows that those came from another clock.
_BACK_S = 0.1

# A track that has been silent for longer is not expected to go on: players, and MP4 in
# fragments, wait for a track that has nothing.
_ALIVE_S = 10.0

# Packets that show whether a container can hold a track.
_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """All that a decoder or a muxer has to know of a track before its first packet."""

    codec: str
    rate: int
    """Samples a second."""
    layout: str
    extradata: bytes
    template: AudioStream = field(repr=False, compare=False)
    """A stream of this format, which does not depend on the source."""

    @classmethod
    def of(cls, stream: AudioStream, extradata: bytes) -> Self:
        """The format of a stream of the source; `extradata` replaces its own."""
        context = stream.codec_context
        # It stays open as long as the template, and is never written to.
        neutral = av.open("pipe:", "w", format="null")
        template = neutral.add_stream_from_template(stream, opaque=True)
        assert isinstance(template, AudioStream)
        template.codec_context.extradata = extradata or None
        neutral.start_encoding()  # the parameters get the extradata
        return cls(
            context.codec.canonical_name,
            stream.rate,
            stream.layout.name,
            extradata,
            template,
        )

    def decoder(self) -> AudioCodecContext:
        """A decoder of its own for each caller."""
        decoder = av.CodecContext.create(self.codec, "r")
        assert isinstance(decoder, AudioCodecContext)
        decoder.sample_rate = self.rate
        decoder.layout = self.template.layout
        decoder.extradata = self.extradata or None
        return decoder


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """A packet of the source, on the clock of `Frame.source_s`."""

    data: bytes
    moment: float
    """When it begins, in seconds; -inf if it turned out to be of another clock."""
    duration: float
    """In seconds; 0 if it is unknown."""
    format: SoundFormat


class Sound:
    """Keeps the last seconds of each track; outputs read at their own pace.

    The source adds packets and never waits. An output that is too late finds the
    oldest ones gone, and memory stays bounded. All methods may be called from any
    thread.

    Args:
        choice: The tracks that are wanted: ``all``, or the number of a stream.
        clock: Returns seconds.

    Attributes:
        notes: One-line remarks for the user.
    """

    def __init__(
        self, choice: str = "all", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.choice = choice
        self._clock = clock
        self.notes: list[str] = []
        self._tracks: dict[int, _Track] = {}
        self._changed = Condition()
        self._latest = -_BETWEEN_SESSIONS_S
        self._read_at = 0.0  # when anything was read, of the video, too

    def begin_session(self) -> float:
        """The time, in seconds, that becomes zero for a new session of the source."""
        with self._changed:
            return self._latest + _BETWEEN_SESSIONS_S

    def advance(self, moment: float) -> None:
        """Note that there is a frame at `moment`."""
        with self._changed:
            self._latest = max(self._latest, moment)
            self._read_at = self._clock()

    def add(self, number: int, packet: SoundPacket) -> None:
        """Add a packet to the track `number`."""
        with self._changed:
            track = self._tracks.setdefault(number, _Track(packet.format))
            track.add(packet)
            track.heard_at = self._read_at = self._clock()
            self._latest = max(self._latest, packet.moment)
            self._changed.notify_all()

    def note(self, text: str) -> None:
        """Log a remark, and keep it; once."""
        if text not in self.notes:
            self.notes.append(text)
            log.warning("%s", text)

    @property
    def has_begun(self) -> bool:
        """Whether there has been any packet."""
        return bool(self._tracks)

    @property
    def formats(self) -> dict[int, SoundFormat]:
        """The newest format of each track that had a packet when others had, too."""
        with self._changed:
            oldest = self._read_at - _ALIVE_S
            return {
                number: track.format
                for number, track in self._tracks.items()
                if track.heard_at >= oldest
            }

    def samples(self, number: int) -> list[bytes]:
        """Some packets of a track, in its newest format."""
        with self._changed:
            track = self._tracks[number]
            fitting = (p.data for p in track.packets if p.format == track.format)
            return list(islice(fitting, _SAMPLES))

    def feed(self, number: int) -> "SoundFeed":
        """A reader of one track."""
        return SoundFeed(self._tracks[number], self._changed)


class _Track:
    """The last packets of a track, counted from the first one ever."""

    def __init__(self, sound_format: SoundFormat) -> None:
        self.format = sound_format
        self.packets: deque[SoundPacket] = deque()
        self.begin = 0
        """Number of the oldest packet."""
        self.heard_at = 0.0
        """When the newest packet was read."""
        self._size = 0

    @property
    def end(self) -> int:
        return self.begin + len(self.packets)

    def add(self, packet: SoundPacket) -> None:
        packets = self.packets
        for back in range(1, len(packets) + 1):
            ahead = packets[-back]
            if ahead.moment <= packet.moment + _BACK_S:
                break
            packets[-back] = replace(ahead, moment=-inf)
        self.format = packet.format
        packets.append(packet)
        self._size += _PACKET_BYTES + len(packet.data)
        oldest = packet.moment - _KEPT_S
        while packets[0].moment < oldest or self._size > _KEPT_BYTES:
            self._size -= _PACKET_BYTES + len(packets.popleft().data)
            self.begin += 1
            if not packets:
                return


class SoundFeed:
    """Reads one track of `Sound` in order, for one output."""

    def __init__(self, track: _Track, changed: Condition) -> None:
        self._track = track
        self._changed = changed
        self._next = 0

    def until(self, limit: float, *, ahead: bool = False) -> Iterator[SoundPacket]:
        """Packets that begin before `limit`; with `ahead` one more, if it is there."""
        with self._changed:
            track = self._track
            self._next = min(max(self._next, track.begin), track.end)
            left = islice(track.packets, self._next - track.begin, None)
            taken: list[SoundPacket] = []
            for packet in left:
                is_due = packet.moment < limit
                if not is_due and not ahead:
                    break
                taken.append(packet)
                if not is_due:
                    break
            self._next += len(taken)
        yield from taken

    def wait(self, limit: float, deadline: float) -> None:
        """Wait until a packet at or after `limit` is there.

        Args:
            limit: In seconds of the source.
            deadline: When to give up, by ``time.monotonic()``.
        """
        packets = self._track.packets
        with self._changed:
            self._changed.wait_for(
                lambda: packets and packets[-1].moment >= limit,
                max(0.0, deadline - time.monotonic()),
            )
