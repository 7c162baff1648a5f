"""Sound and subtitles on their way to the output: copied, converted or encoded anew."""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Protocol

import av
import av.error
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.format import Flags
from av.stream import Stream

from streamdenoise.io.ffmpeg.beside import clone
from streamdenoise.io.ffmpeg.container import has_flag
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS
from streamdenoise.io.ffmpeg.subtitles import (
    ASS_HEADER,
    subtitle_payload,
    subtitle_text,
)

# Encoder of sound that a container does not take, and its bit rate a channel.
SOUND_ENCODERS = {
    "mp4": ("aac", 96_000),
    "mov": ("aac", 96_000),
    "matroska": ("flac", None),
    "webm": ("libopus", 64_000),
    "avi": ("libmp3lame", 96_000),
    "mpegts": ("aac", 96_000),
    "flv": ("aac", 96_000),
    "rtsp": ("libopus", 64_000),
}

# What all players of live streams take; telephone sound would wait for long packets.
_LIVE_RATES = (44100, 48000)

# Muxers of MP4 apply this filter by themselves, but not while the header waits.
_ADTS = {"aac": "aac_adtstoasc"}

# Codecs that AVI counts by frames, and encoders that know their length.
_FRAMED_IN_AVI = {"ac3": "ac3", "mp3": "libmp3lame"}

# Players lose what FFmpeg writes, or it fails at the first gap.
_UNSOUND = (("avi", "flac"), ("avi", "vorbis"))

# Layouts by number of channels, for the many files that give only that.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}


class Track(Protocol):
    """One stream of the output beside the video."""

    @property
    def target(self) -> Stream:
        """The stream of the output."""
        ...

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """What to mux for `packet` of the input; on the timeline of the output."""
        ...

    def flush(self) -> Iterator[av.Packet]:
        """What is left after the last packet."""
        ...


class CopiedTrack:
    """Packets go to the output as they are; only times that run backward change.

    Args:
        output: The output, before its header is written.
        stream: The stream of the input.
        samples: First packets of it.
    """

    def __init__(
        self, output: OutputContainer, stream: Stream, samples: Sequence[av.Packet]
    ) -> None:
        self.target = _exact_copy(output, stream)
        self._filter: BitStreamFilterContext | None = None
        name = _ADTS.get(codec_name(stream))
        has_headers = any(bytes(each)[:1] == b"\xff" for each in samples)
        if name and has_headers and output.format.name in ("mp4", "mov"):
            self._filter = BitStreamFilterContext(name, stream)
        self._order = Order(output)

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        time_base = packet.time_base
        filtered = [packet] if self._filter is None else self._filter.filter(packet)
        for each in filtered:
            each.time_base = time_base
            each.stream = self.target
            yield self._order(each)

    def flush(self) -> Iterator[av.Packet]:
        return iter(())


class TextTrack:
    """Text subtitles in another codec, without their styles.

    A cue ends where the next one begins, at the latest: MP4 shows one at a time.

    Args:
        output: The output, before its header is written.
        stream: The stream of the input.
        codec: Codec of the output.
    """

    def __init__(self, output: OutputContainer, stream: Stream, codec: str) -> None:
        if codec == "mov_text":
            self.target = output.add_stream(codec)
            self.target.codec_context.subtitle_header = ASS_HEADER
            self.target.codec_context.time_base = stream.time_base or Fraction(1, 1000)
        else:
            self.target = output.add_mux_stream(codec)
        self.target.time_base = stream.time_base
        self.codec = codec
        self._from = codec_name(stream)
        self._order = Order(output)
        self._held: av.Packet | None = None

    def silence(self) -> av.Packet:
        """An empty line at the very beginning."""
        return self._order(self._cue("", 0, Fraction(1, 1000)))

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        begin = packet.pts if packet.pts is not None else packet.dts
        text = subtitle_text(self._from, bytes(packet))
        cue = self._cue(text, begin, packet.time_base)
        cue.duration = packet.duration
        if self.codec != "mov_text":
            yield self._order(cue)
            return
        yield from self._release(cue)
        self._held = cue

    def flush(self) -> Iterator[av.Packet]:
        yield from self._release(None)

    def _cue(self, text: str, begin: int | None, time_base: Fraction) -> av.Packet:
        cue = av.Packet(subtitle_payload(self.codec, text))
        cue.pts = cue.dts = begin
        cue.time_base, cue.is_keyframe = time_base, True
        cue.stream = self.target
        return cue

    def _release(self, following: av.Packet | None) -> Iterator[av.Packet]:
        held, self._held = self._held, None
        if held is None:
            return
        if following is not None and held.pts is not None and following.pts is not None:
            # Two that begin together: the later one would hide the earlier.
            following.pts = following.dts = max(following.pts, held.pts + 1)
            longest = following.pts - held.pts
            held.duration = min(held.duration or longest, longest)
        yield self._order(held)


class EncodedTrack:
    """Sound that is decoded and encoded anew.

    Args:
        output: The output, before its header is written.
        stream: The stream of the input.

    Raises:
        ValueError: There is no usual codec for this container.
    """

    def __init__(self, output: OutputContainer, stream: AudioStream) -> None:
        self._decoder = stream.codec_context
        self.codec, self.target = add_sound_encoder(output, stream, output.format.name)
        self._order = Order(output)

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        try:
            frames = self._decoder.decode(packet)
        except FFMPEG_ERRORS:
            return  # damaged: silence, like every player
        for frame in frames:
            for each in self.target.encode(frame):
                yield self._order(each)

    def flush(self) -> Iterator[av.Packet]:
        for frame in self._decoder.decode(None):
            for each in self.target.encode(frame):
                yield self._order(each)
        for each in self.target.encode(None):
            yield self._order(each)


def add_sound_encoder(
    output: OutputContainer,
    stream: AudioStream,
    format_name: str,
    *,
    is_live: bool = False,
) -> tuple[str, AudioStream]:
    """Add a track for the sound of `stream` in the usual codec of a format.

    Args:
        output: The output, before its header is written.
        stream: The stream of the input.
        format_name: One of `SOUND_ENCODERS`.
        is_live: Whether it is encoded while it is played.

    Returns:
        The encoder's name, and the track.
    """
    encoder, bit_rate = SOUND_ENCODERS[format_name]
    rate = stream.rate
    if encoder == "libopus" or (is_live and rate not in _LIVE_RATES):
        rate = 48000
    target = output.add_stream(encoder, rate=rate)
    assert isinstance(target, AudioStream)
    channels = min(stream.channels or 2, 8)
    if encoder == "libmp3lame":
        channels = min(channels, 2)
    target.layout = _LAYOUTS.get(channels, "stereo")
    target.codec_context.time_base = Fraction(1, rate)
    if bit_rate is not None:
        target.bit_rate = bit_rate * channels
    return encoder, target


class Order:
    """Makes decoding times increase, as muxers demand.

    In the units of the output: those of the input may be so coarse that several packets
    share one time.

    Args:
        output: The output; most formats refuse two packets at the same time.
    """

    def __init__(self, output: OutputContainer) -> None:
        self._step = 0 if has_flag(output, Flags.ts_nonstrict) else 1
        self._last: int | None = None

    def __call__(self, packet: av.Packet) -> av.Packet:
        """`packet` with times that are not before those of the last one."""
        units = packet.stream.time_base
        if units and units != packet.time_base:
            factor = packet.time_base / units
            packet.pts = None if packet.pts is None else round(packet.pts * factor)
            packet.dts = None if packet.dts is None else round(packet.dts * factor)
            packet.duration = round((packet.duration or 0) * factor)
            packet.time_base = units
        dts = packet.dts if packet.dts is not None else packet.pts
        if self._last is None:
            dts = dts or 0
        elif dts is None or dts < self._last + self._step:
            dts = self._last + self._step
        self._last = packet.dts = dts
        if packet.pts is None or packet.pts < dts:
            packet.pts = dts
        return packet


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec; empty if it is unknown."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else ""


def _exact_copy(output: OutputContainer, stream: Stream) -> Stream:
    """Add a stream with exactly the parameters of `stream` to `output`.

    PyAV asks FFmpeg which codecs a format takes, and FFmpeg does not know it for all
    that its muxers do take. A stream of another codec gets the parameters instead.

    Raises:
        ValueError: The format takes no stream of this type.
    """
    with av.open("pipe:", "w", format="null") as neutral:
        template = _template(neutral, output.format.name, stream)
        if isinstance(template, AudioStream) and "channels" in template.layout.name:
            template.layout = _LAYOUTS.get(template.channels, template.layout)
        neutral.start_encoding()
        stand_in = {
            "audio": output.default_audio_codec,
            "subtitle": output.default_subtitle_codec,
            "video": output.default_video_codec,
        }[stream.type]
        target = output.add_mux_stream(stand_in)
        BitStreamFilterContext("null", template, target)
    target.time_base = stream.time_base
    return target


def _template(neutral: OutputContainer, format_name: str, stream: Stream) -> Stream:
    """A stream with the parameters of `stream`, fit for a container."""
    encoder = _FRAMED_IN_AVI.get(codec_name(stream)) if format_name == "avi" else None
    if encoder is None or not isinstance(stream, AudioStream):
        return neutral.add_stream_from_template(stream, opaque=True)
    # AVI counts bytes if the input says a block size, which these codecs do not have.
    template = neutral.add_stream(encoder, rate=stream.rate)
    assert isinstance(template, AudioStream)
    template.layout = stream.layout
    template.bit_rate = stream.bit_rate or template.bit_rate
    return template


def survives(format_name: str, stream: Stream, samples: Sequence[av.Packet]) -> bool:
    """Whether a copy of `stream` can be written, and played when it is read again.

    Args:
        format_name: The muxer.
        stream: The stream of the input.
        samples: First packets of it; without any, only the header is tried.
    """
    if (format_name, codec_name(stream)) in _UNSOUND:
        return False
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=format_name) as trial:
            track = CopiedTrack(trial, stream, samples)
            trial.start_encoding()
            for packet in samples:
                for each in track.packets(clone(packet)):
                    trial.mux_one(each)
        if not samples:
            return True
        file.seek(0)
        # So few packets of a transport stream look like something else.
        known = format_name if format_name == "mpegts" else None
        with av.open(file, "r", format=known) as again:
            (found,) = again.streams
            if _family(codec_name(found)) != _family(codec_name(stream)):
                return False
            if stream.type == "audio":
                list(again.decode(found))
    except FFMPEG_ERRORS:
        return False
    return True


def _family(codec: str) -> str:
    # Containers do not tell the layers of MPEG audio apart.
    return "mp3" if codec in ("mp1", "mp2") else codec
