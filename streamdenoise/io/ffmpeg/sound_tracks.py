"""Writes the sound of a live source beside the frames of one output."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import av.error
from av.audio.frame import AudioFrame
from av.container import OutputContainer
from av.filter import Graph

from streamdenoise.frame import Frame
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, is_write_failure, reason
from streamdenoise.io.ffmpeg.sound import (
    Sound,
    SoundFeed,
    SoundFormat,
    SoundPacket,
)
from streamdenoise.io.ffmpeg.steady_times import SteadyTimes
from streamdenoise.io.ffmpeg.tracks import (
    SOUND_ENCODERS,
    CopiedTrack,
    Order,
    add_sound_encoder,
    survives,
)

# What protocols carry; for all other formats it is tried out.
_CARRIED = {
    "rtsp": ("aac", "opus", "mp3", "pcm_mulaw", "pcm_alaw", "adpcm_g722"),
    "flv": ("aac", "mp3"),
    "browser": ("aac", "opus"),
}

# AVI has no timestamps: after a pause, all sound would come too early.
_WITHOUT_PAUSES = ("avi",)

# Protocols with one track of sound.
_SINGLE = ("flv", "browser")

_REFUSALS = 8
_MOST_REFUSALS = 256
"""Refused packets after which the sound ends, and then the output."""

_FAILURES = 50
"""Packets without any sound in them after which a note says so."""

# A longer silence stays a gap between timestamps.
_GAP_S = 1.0

# Up to 2% faster or slower, until the clocks agree; what is off by more is cut or
# filled with silence at once.
_STRETCHED = "async=1000:min_hard_comp=0.03"


class _Track(Protocol):
    def packets(self, packet: SoundPacket, begin_s: float) -> Iterator[av.Packet]:
        """Make packets to mux of one that begins at `begin_s` in the output."""
        ...

    def flush(self) -> Iterator[av.Packet]:
        """End the track, and get its last packets."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """A frame on both clocks, in seconds."""

    source: float
    output: float


class SoundTracks:
    """Adds the sound of a live source to an output, and takes it frame by frame.

    Sound is moved as the frames around it are, so it keeps its distance from them
    through losses and jumps of the clock. It begins with the first frame. Codecs that
    the output does not take are converted; `notes` says so. Whatever happens to the
    sound, the video goes on.

    Args:
        sound: The sound of the source.
        format_name: The output's muxer.
        runs_ahead: Whether to take one packet beyond each frame, if it is there: a
            muxer that puts packets in order then has no reason to hold back the frame.
    """

    def __init__(
        self, sound: Sound, format_name: str, *, runs_ahead: bool = False
    ) -> None:
        self.notes: list[str] = []
        self._sound = sound
        self._format = format_name
        self._runs_ahead = runs_ahead
        self._known: dict[int, SoundFormat] = {}
        self._tracks: dict[int, tuple[SoundFeed, _Track]] = {}
        self._before: _Place | None = None
        self._begin = 0.0
        self._refusals = 0

    def add_to(self, output: OutputContainer) -> None:
        """Add the tracks that the source has by now, before the header is written."""
        self._known = self._sound.formats
        for number, each in sorted(self._known.items()):
            label = f"sound {number} ({each.codec})"
            if self._tracks and self._format in _SINGLE:
                self.notes.append(f"{label} is left out: {self._format} has one track")
                continue
            if self._format in _WITHOUT_PAUSES:
                self.notes.append(
                    f"{label} is left out: {self._format} cannot hold its pauses when "
                    "the source is away; use .mkv"
                )
                continue
            track = self._track(output, number, each)
            if track is None:
                self.notes.append(
                    f"{label} is left out: {self._format} does not support it"
                )
                continue
            self._tracks[number] = (self._sound.feed(number), track)
            if isinstance(track, _Encoded):
                self.notes.append(
                    f"{label} is converted to {track.codec}: {self._format} does not "
                    "support it"
                )

    @property
    def is_current(self) -> bool:
        """Whether the source has no other sound than when the output was opened."""
        return self._sound.formats.items() <= self._known.items()

    @property
    def has_ended(self) -> bool:
        """Whether no track is left; `notes` says why."""
        return not self._tracks

    def packets(self, frame: Frame, shift: Fraction) -> Iterator[av.Packet]:
        """The sound up to `frame`, with timestamps reduced by `shift` seconds.

        A frame that is repeated while the source is away brings what is left, if
        anything.
        """
        self._note_new()
        moment = float(frame.pts * frame.time_base - shift)
        before = self._before
        if frame.source_s is not None:
            here = _Place(frame.source_s, moment)
            self._before = here
            if before is None:
                self._begin = here.source
        elif before is not None:
            here = _Place(before.source + moment - before.output, moment)
        else:
            return
        for number, (feed, track) in list(self._tracks.items()):
            for packet in feed.until(here.source, ahead=self._runs_ahead):
                if number not in self._tracks:
                    break  # it has ended with the packet before
                if packet.moment < self._begin:
                    continue
                near = _nearest(packet.moment, before or here, here)
                begin_s = packet.moment + near.output - near.source
                yield from self._checked(number, track, packet, begin_s)

    def wait(self, frame: Frame, deadline: float) -> None:
        """Wait until the source has all of the sound up to `frame`.

        Args:
            frame: The first one that does not belong to this output.
            deadline: When to give up, by ``time.monotonic()``.
        """
        if frame.source_s is not None:
            for feed, _ in self._tracks.values():
                feed.wait(frame.source_s, deadline)

    def flush(self) -> Iterator[av.Packet]:
        """End the tracks, and get the last packets of their encoders."""
        for _, track in self._tracks.values():
            with suppress(*FFMPEG_ERRORS):
                yield from track.flush()

    def refused(self, exc: BaseException) -> None:
        """Handle an error of the muxer, which may be about any packet before.

        Raises:
            FFmpegError: The disk is the cause, or the video itself.
        """
        self._refusals += 1
        is_endless = not self._known or self._refusals > _MOST_REFUSALS
        if is_write_failure(exc) or is_endless:
            raise exc
        if self._refusals == _REFUSALS and self._tracks:
            self._tracks.clear()
            self.notes.append(
                f"its sound ends: {self._format} refused it ({reason(exc)})"
            )

    def _note_new(self) -> None:
        """Note sound that the source did not have when the output was opened."""
        for number, each in self._sound.formats.items():
            if number not in self._known:
                self._known[number] = each
                self.notes.append(
                    f"sound {number} ({each.codec}) is left out: it came after the "
                    "file was begun, which has no track for it; segments begin anew"
                )

    def _track(
        self, output: OutputContainer, number: int, sound_format: SoundFormat
    ) -> _Track | None:
        template = sound_format.template
        carried = _CARRIED.get(self._format)
        samples = [
            _as_packet(data, sound_format) for data in self._sound.samples(number)
        ]
        if carried is not None:
            is_taken = sound_format.codec in carried
        else:
            is_taken = survives(self._format, template, samples)
        if is_taken:
            return _Copied(CopiedTrack(output, template, samples), sound_format)
        if self._format in SOUND_ENCODERS:
            return _Encoded(output, sound_format, self._format)
        return None

    def _checked(
        self, number: int, track: _Track, packet: SoundPacket, begin_s: float
    ) -> Iterator[av.Packet]:
        """Pass a packet through `track`; an error becomes a note."""
        try:
            yield from track.packets(packet, begin_s)
        except _SoundError as exc:
            self.notes.append(f"sound {number} ({packet.format.codec}) {exc}")
            if exc.is_final:
                del self._tracks[number]
        except FFMPEG_ERRORS as exc:
            del self._tracks[number]
            self.notes.append(
                f"sound {number} ({packet.format.codec}) ends: it cannot be converted "
                f"({reason(exc)})"
            )


class _SoundError(Exception):
    """A track cannot continue, or not yet; the message is the end of a sentence."""

    def __init__(self, text: str, *, is_final: bool) -> None:
        super().__init__(text)
        self.is_final = is_final


class _Copied:
    """Packets as they are; only their times change."""

    def __init__(self, track: CopiedTrack, sound_format: SoundFormat) -> None:
        self._track = track
        self._track.target.time_base = Fraction(1, sound_format.rate)
        self._format = sound_format
        self._times = SteadyTimes(sound_format.rate)

    def packets(self, packet: SoundPacket, begin_s: float) -> Iterator[av.Packet]:
        if packet.format != self._format:
            raise _SoundError(
                "has changed in the source, and ends there: a file holds one kind; "
                "segments begin anew",
                is_final=True,
            )
        at = self._times(begin_s, packet.duration)
        if at is None:
            return
        copy = _as_packet(packet.data, packet.format)
        copy.pts = copy.dts = at
        copy.duration = round(packet.duration * packet.format.rate)
        yield from self._track.packets(copy)

    def flush(self) -> Iterator[av.Packet]:
        return iter(())


class _Encoded:
    """Sound that is decoded, kept in step by stretching it a little, and encoded."""

    def __init__(
        self, output: OutputContainer, sound_format: SoundFormat, format_name: str
    ) -> None:
        self.codec, self._target = add_sound_encoder(
            output, sound_format.template, format_name, is_live=True
        )
        self._order = Order(output)
        self._format: SoundFormat | None = None
        self._graph: Graph | None = None
        self._input: tuple[int, str, str] = (0, "", "")
        self._end_s = 0.0
        self._failures = 0

    def packets(self, packet: SoundPacket, begin_s: float) -> Iterator[av.Packet]:
        if packet.format != self._format:
            self._format, self._decoder = packet.format, packet.format.decoder()
            self._graph = None
        for frame in self._decoded(packet, begin_s):
            yield from self._encoded(frame)

    def flush(self) -> Iterator[av.Packet]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready(self._graph)
        for each in self._target.encode(None):
            yield self._order(each)

    def _decoded(self, packet: SoundPacket, begin_s: float) -> list[AudioFrame]:
        data = _as_packet(packet.data, packet.format)
        data.pts = data.dts = round(begin_s * packet.format.rate)
        try:
            frames = self._decoder.decode(data)
        except FFMPEG_ERRORS:
            frames = []  # damaged: silence, like every player
        for frame in frames:
            if frame.pts is None:
                frame.pts, frame.time_base = data.pts, data.time_base
        self._failures = 0 if frames else self._failures + 1
        if self._failures == _FAILURES:
            raise _SoundError("cannot be decoded", is_final=False)
        return frames

    def _encoded(self, frame: AudioFrame) -> Iterator[av.Packet]:
        assert frame.pts is not None
        assert frame.time_base is not None
        begin_s = float(frame.pts * frame.time_base)
        kind = (frame.sample_rate, frame.format.name, frame.layout.name)
        is_gap = not -_GAP_S < begin_s - self._end_s < _GAP_S
        if begin_s < self._end_s and is_gap:
            return
        if self._graph is None or is_gap or kind != self._input:
            self._graph, self._input = self._stretching(frame), kind
        self._end_s = begin_s + frame.samples / frame.sample_rate
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(begin_s * frame.sample_rate)
        self._graph.push(frame)
        yield from self._ready(self._graph)

    def _ready(self, graph: Graph) -> Iterator[av.Packet]:
        while True:
            try:
                ready = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(ready, AudioFrame)
            for each in self._target.encode(ready):
                yield self._order(each)

    def _stretching(self, frame: AudioFrame) -> Graph:
        """A filter that gives the encoder what it takes, at the right time."""
        context = self._target.codec_context
        graph = Graph()
        nodes = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=Fraction(1, frame.sample_rate),
            ),
            graph.add("aresample", f"{context.sample_rate}:{_STRETCHED}"),
            graph.add(
                "aformat",
                f"sample_fmts={context.format.name}:"
                f"sample_rates={context.sample_rate}:"
                f"channel_layouts={context.layout.name}",
            ),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        if context.frame_size:
            graph.set_audio_frame_size(context.frame_size)
        return graph


def _nearest(moment: float, before: _Place, here: _Place) -> _Place:
    is_before = abs(moment - before.source) < abs(here.source - moment)
    return before if is_before else here


def _as_packet(data: bytes, sound_format: SoundFormat) -> av.Packet:
    packet = av.Packet(data)
    packet.time_base = Fraction(1, sound_format.rate)
    packet.is_keyframe = True
    packet.stream = sound_format.template
    return packet
