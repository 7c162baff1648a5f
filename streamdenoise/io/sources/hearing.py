"""Puts the sound of one session of a live source where its frames are."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from streamdenoise.io.ffmpeg.container import sound_streams
from streamdenoise.io.ffmpeg.sound import Sound, SoundFormat, SoundPacket
from streamdenoise.io.sources.adts import AdtsHeader
from streamdenoise.io.sources.drift import Drift

log = logging.getLogger(__name__)

# Sound further away from the newest frame belongs to another time: the clock of one of
# both has jumped, and that of the other has not yet.
_FAR_S = 5.0

# After that long it never will.
_FAR_FOR_S = 2.0

# Packets that wait for the first frame.
_EARLY = 500


@dataclass(slots=True)
class _Track:
    """A stream of sound in this session."""

    stream: AudioStream
    format: SoundFormat | None = None
    has_headers: bool = False
    shift: float = 0.0
    far_since: float = inf
    drift: Drift = field(default_factory=Drift)


class Hearing:
    """Passes the sound of one session on to `Sound`, on the timeline of its frames.

    The thread that reads the video calls it, with every packet of sound on the way. It
    never waits and never fails: whatever is wrong with the sound, the video goes on.

    Args:
        sound: Where it goes.
        container: The open source.
        name: Of the source, for messages.
        has_clocks: Whether each stream counts by a clock of its own, as in RTP.
        clock: Returns seconds.

    Raises:
        SourceOpenError: The stream that the user chose is not there.
    """

    def __init__(
        self,
        sound: Sound,
        container: InputContainer,
        name: str,
        *,
        has_clocks: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._sound = sound
        self._name = name
        self._has_clocks = has_clocks
        self._begin = sound.begin_session()
        self._offset: float | None = None
        self._newest = self._newest_at = 0.0
        self._early: deque[tuple[_Track, av.Packet, float, float]] = deque(
            maxlen=_EARLY
        )
        self._tracks: dict[int, _Track] = {}
        # A later session without the stream has no sound, and its video counts.
        is_first = not sound.has_begun
        for stream in sound_streams(container, sound.choice, is_required=is_first):
            assert isinstance(stream, AudioStream)
            if stream.codec_context is None or not stream.rate:
                self._note(f"sound {stream.index} is left out: it cannot be decoded")
            else:
                self._tracks[stream.index] = _Track(stream)

    @property
    def streams(self) -> list[AudioStream]:
        """The streams that are wanted."""
        return [track.stream for track in self._tracks.values()]

    @property
    def is_complete(self) -> bool:
        """Whether there was a packet of each track lately, also before this session."""
        return self._tracks.keys() <= self._sound.formats.keys()

    def video_packet(self, pts_s: float) -> None:
        """Report a packet of the video, with its own time."""
        if self._has_clocks:
            for track in self._tracks.values():
                track.drift.video(pts_s, self._clock())

    def frame(self, time_s: float, offset_s: float) -> None:
        """Report a decoded frame.

        Args:
            time_s: Its timestamp, as the source gives it on.
            offset_s: By how much timestamps of the stream are moved since.
        """
        self._newest, self._newest_at = time_s, self._clock()
        self._offset = offset_s
        self._sound.advance(self.source_s(time_s))
        while self._early:
            track, packet, pts_s, arrival = self._early.popleft()
            if track.stream.index in self._tracks:
                with self._careful(packet):
                    self._place(track, packet, pts_s, arrival)

    def source_s(self, time_s: float) -> float:
        """`Frame.source_s` of a frame with this timestamp."""
        return self._begin + time_s

    def packet(self, packet: av.Packet, moment_s: float | None = None) -> None:
        """Take a packet of any stream but the video.

        Args:
            packet: As it was read.
            moment_s: Its time on the timeline of the frames; None for a live stream.
        """
        track = self._tracks.get(packet.stream_index)
        if track is None or not packet.size:
            return
        with self._careful(packet):
            self._take(track, packet, moment_s)

    @contextmanager
    def _careful(self, packet: av.Packet) -> Iterator[None]:
        """End the track of `packet` if the block fails, but not the video."""
        number = packet.stream_index
        try:
            yield
        except Exception as exc:  # of any kind
            del self._tracks[number]
            log.debug("%s: sound %d", self._name, number, exc_info=exc)
            self._note(f"sound {number} is left out: it is damaged")

    def _take(self, track: _Track, packet: av.Packet, moment_s: float | None) -> None:
        if moment_s is not None:
            self._add(track, packet, moment_s)
            return
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or not packet.time_base:
            return
        pts_s, now = float(stamp * packet.time_base), self._clock()
        if self._has_clocks:
            pts_s -= track.drift.sound(pts_s, now)
        if self._offset is None:
            self._early.append((track, packet, pts_s, now))
        else:
            self._place(track, packet, pts_s, now)

    def _place(
        self, track: _Track, packet: av.Packet, pts_s: float, arrival: float
    ) -> None:
        assert self._offset is not None
        moment = pts_s + self._offset + track.shift
        expected = self._newest + max(0.0, arrival - self._newest_at)
        if abs(moment - expected) <= _FAR_S:
            track.far_since = inf
        else:
            track.far_since = min(track.far_since, arrival)
            if arrival - track.far_since < _FAR_FOR_S:
                return
            track.shift += expected - moment
            track.far_since, moment = inf, expected
            self._note(
                f"sound {packet.stream_index} counts by another clock than the video; "
                "it is put where it arrives"
            )
        self._add(track, packet, moment)

    def _add(self, track: _Track, packet: av.Packet, moment: float) -> None:
        data = bytes(packet)
        if track.format is None:
            track.format = self._format(track, data)
        if track.has_headers:
            header = AdtsHeader.of(data)
            if header is None:
                return  # damaged
            if header.config != track.format.extradata:
                track.format = SoundFormat.of(track.stream, header.config)
            data = data[header.size :]
        duration = float((packet.duration or 0) * packet.time_base)
        self._sound.add(
            packet.stream_index,
            SoundPacket(data, self._begin + moment, duration, track.format),
        )

    def _format(self, track: _Track, data: bytes) -> SoundFormat:
        context = track.stream.codec_context
        extradata = bytes(context.extradata or b"")
        if context.codec.canonical_name == "aac" and not extradata:
            header = AdtsHeader.of(data)
            if header is not None:
                track.has_headers = True
                extradata = header.config
        return SoundFormat.of(track.stream, extradata)

    def _note(self, text: str) -> None:
        self._sound.note(f"{self._name}: {text}")
