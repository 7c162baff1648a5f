"""Streams and metadata that are copied from the input to the output."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream

from streamdenoise.errors import SinkError, SourceOpenError
from streamdenoise.io.ffmpeg.codecs import SourceSettings
from streamdenoise.io.ffmpeg.container import main_video, open_container, video_start
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.subtitles import (
    ASS_HEADER,
    TEXT_CODECS,
    subtitle_payload,
    subtitle_text,
)

# Codec of text subtitles in each container.
_SUBTITLE_CODECS = {
    "mp4": "mov_text",
    "mov": "mov_text",
    "matroska": "subrip",
    "webm": "webvtt",
}

# Tags that describe the input file and would be wrong in the output.
_FILE_TAGS = {
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "duration",
}
_STREAM_TAGS = {"encoder", "duration", "vendor_id", "bps", "number_of_frames"}
_STREAM_TAGS |= {"number_of_bytes"}

# In a well-formed file, streams are interleaved within this distance.
_INTERLEAVING_S = 5

# Video packets this much later than the last written frame mean a job cut short.
_CUT_S = 1


@dataclass(slots=True)
class _Copy:
    target: Stream
    convert_from: str | None = None
    """Codec of text subtitles to convert; None copies packets unchanged."""
    convert_to: str = ""


class CarriedStreams:
    """Reads the input a second time and muxes its packets between the new frames.

    Streams that the output does not support are left out and named in `notes`.

    Args:
        path: The input file.
        format_name: The output's muxer.
        start_s: Start of the part to copy, in seconds from the first frame.
        duration_s: Duration of that part in seconds; None copies up to the end.

    Raises:
        SinkError: The input cannot be opened again, or contains no video.
    """

    def __init__(
        self,
        path: Path,
        format_name: str,
        *,
        start_s: float,
        duration_s: float | None,
    ) -> None:
        self._format = format_name
        self.notes: list[str] = []
        try:
            self._input: InputContainer = open_container(path, 10.0)
        except SourceOpenError as exc:
            raise SinkError(f"audio and subtitles cannot be copied: {exc}") from exc
        video = main_video(self._input)
        if video is None:
            self._input.close()
            raise SinkError(f"{path} contains no video; copy from the video file")
        self._video = video
        begin = video_start(video)
        # Without a start, timestamps are copied exactly.
        self.shift = Fraction(0)
        if start_s > 0:
            self.shift = begin + Fraction(start_s).limit_denominator(10**6)
        self._end: Fraction | None = None
        if duration_s is not None:
            origin = self.shift if start_s > 0 else begin
            self._end = origin + Fraction(duration_s).limit_denominator(10**6)
        self._copies: dict[int, _Copy] = {}
        self._held: tuple[Fraction, av.Packet] | None = None
        self._packets: Iterator[tuple[Fraction, av.Packet]] = iter(())

    def settings(self) -> SourceSettings:
        """Codec and bit rate of the input's video stream."""
        bit_rate = self._video.bit_rate
        if not bit_rate and self._input.bit_rate:
            others = sum(each.bit_rate or 0 for each in self._input.streams.audio)
            bit_rate = max(self._input.bit_rate - others, 0)
        return SourceSettings(
            codec=self._video.codec_context.codec.canonical_name,
            bit_rate=bit_rate or None,
        )

    def add_to(self, output: OutputContainer, video: av.VideoStream) -> None:
        """Add the streams, chapters and tags to `output`, which already has `video`."""
        self._output = output
        for name, value in self._input.metadata.items():
            if name.lower() not in _FILE_TAGS:
                self._output.metadata[name] = value
        _copy_tags(self._video, video)
        self._copy_first_frame_facts(video)
        for stream in self._input.streams:
            if stream.index != self._video.index:
                self._add_stream(stream)
        chapters = self._chapters()
        if chapters:
            self._output.set_chapters(chapters)
        wanted = [self._input.streams[index] for index in self._copies]
        if wanted:
            self._packets = self._read([*wanted, self._video])

    @property
    def has_cover_art(self) -> bool:
        """Whether one of the streams is an attached image."""
        return any(
            stream.disposition & Disposition.attached_pic
            for stream in self._input.streams.video
        )

    def container_options(self) -> dict[str, str]:
        """Options that the muxer needs to keep all tags."""
        known = {"title", "artist", "album", "comment", "date", "genre", "copyright"}
        known |= {"description", "creation_time", "encoder", "composer", "track"}
        names = {name.lower() for name in self._input.metadata} - _FILE_TAGS
        if self._format in ("mp4", "mov") and names - known:
            return {"movflags": "+use_metadata_tags"}
        return {}

    def mux_until(self, moment: Fraction) -> None:
        """Write all packets before `moment`, in seconds of the output."""
        while True:
            if self._held is None:
                self._held = next(self._packets, None)
            if self._held is None or self._held[0] - self.shift > moment:
                return
            self._write(self._held[1])
            self._held = None

    def finish(self, last: Fraction) -> None:
        """Write the remaining packets after the last frame at `last` seconds.

        Audio that continues after the video is kept. But if the job was cut short, that
        is, if the input has more frames, the audio ends with the last frame.
        """
        waiting: list[tuple[Fraction, av.Packet]] = []
        while True:
            item = self._held or next(self._packets, None)
            self._held = None
            if item is None:
                break
            moment = item[0] - self.shift
            if item[1].stream.index == self._video.index:
                if moment > last + _CUT_S:
                    waiting = [each for each in waiting if each[0] - self.shift <= last]
                    break
                continue
            waiting.append(item)
            if moment > last + 2 * _INTERLEAVING_S:
                self._write_all(waiting)
        self._write_all(waiting)

    def close(self) -> None:
        self._input.close()

    def _write_all(self, items: list[tuple[Fraction, av.Packet]]) -> None:
        for _, packet in items:
            self._write(packet)
        items.clear()

    def _write(self, packet: av.Packet) -> None:
        copy = self._copies.get(packet.stream.index)
        if copy is None:
            return
        time_base = packet.time_base
        if copy.convert_from is not None:
            text = subtitle_text(copy.convert_from, bytes(packet))
            converted = av.Packet(subtitle_payload(copy.convert_to, text))
            converted.pts, converted.dts = packet.pts, packet.dts
            converted.duration, converted.time_base = packet.duration, time_base
            converted.is_keyframe = True
            packet = converted
        if self.shift:
            ticks = round(self.shift / time_base)
            self._clip_start(packet, ticks)
            packet.pts = None if packet.pts is None else packet.pts - ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
        packet.stream = copy.target
        self._output.mux_one(packet)

    @staticmethod
    def _clip_start(packet: av.Packet, ticks: int) -> None:
        """Begin a subtitle at the start if it began earlier."""
        if packet.pts is not None and packet.pts < ticks and packet.duration:
            packet.duration = max(1, packet.duration - (ticks - packet.pts))
            packet.pts = packet.dts = ticks

    def _read(self, streams: list[Stream]) -> Iterator[tuple[Fraction, av.Packet]]:
        """Read the selected part: packets with their times, those of the video too."""
        try:
            if self.shift:
                self._seek()
            for packet in self._input.demux(streams):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None:
                    continue
                moment = stamp * packet.time_base
                if self._end is not None and moment >= self._end:
                    if moment > self._end + _INTERLEAVING_S:
                        return
                    continue
                if self.shift and self._is_over(packet, moment):
                    continue
                yield moment, packet
        except FFMPEG_ERRORS as exc:
            self.notes.append(f"audio and subtitles end early: {reason(exc)}")

    def _seek(self) -> None:
        time_base = self._video.time_base or Fraction(1, av.time_base)
        try:
            target = int((self.shift - _INTERLEAVING_S) / time_base)
            self._input.seek(max(0, target), stream=self._video)
        except FFMPEG_ERRORS:
            return  # not seekable: read from the beginning

    def _is_over(self, packet: av.Packet, moment: Fraction) -> bool:
        """Whether a packet is before the start; a subtitle counts by its end."""
        if packet.stream.type == "subtitle" and packet.duration:
            return moment + packet.duration * packet.time_base <= self.shift
        return moment < self.shift

    def _add_stream(self, stream: Stream) -> None:
        label = f"{stream.type} stream {stream.index}"
        codec = _codec_name(stream)
        if codec:
            label += f" ({codec})"
        if stream.type == "attachment":
            if self._format == "matroska":
                _copy_tags(stream, self._output.add_stream_from_template(stream))
            else:
                self._leave_out(label)
            return
        cover = bool(stream.disposition & Disposition.attached_pic)
        if stream.type == "video" and not cover:
            self.notes.append(f"{label} is left out: only one video is denoised")
            return
        if stream.type == "subtitle" and codec in TEXT_CODECS:
            target = _SUBTITLE_CODECS.get(self._format)
            same = codec in (target, "srt" if target == "subrip" else target)
            if target and not same and not _accepts(self._format, stream):
                self._add_converted(stream, codec, target, label)
                return
        if stream.type == "data" or not _accepts(self._format, stream):
            self._leave_out(label)
            return
        kwargs = {"opaque": True} if stream.type == "video" else {}
        copy = self._output.add_stream_from_template(stream, **kwargs)
        _copy_tags(stream, copy)
        self._copies[stream.index] = _Copy(copy)

    def _add_converted(
        self, stream: Stream, codec: str, target: str, label: str
    ) -> None:
        if target == "mov_text":
            copy = self._output.add_stream(target)
            copy.codec_context.subtitle_header = ASS_HEADER
            copy.codec_context.time_base = stream.time_base or Fraction(1, 1000)
        else:
            copy = self._output.add_mux_stream(target)
        copy.time_base = stream.time_base
        _copy_tags(stream, copy)
        self._copies[stream.index] = _Copy(copy, codec, target)
        self.notes.append(f"{label} is converted to {target}, without its styles")

    def _leave_out(self, label: str) -> None:
        self.notes.append(f"{label} is left out: {self._format} does not support it")

    def _copy_first_frame_facts(self, video: av.VideoStream) -> None:
        """Copy rotation from the first frame, and note HDR data that is lost."""
        facts = first_frame_facts(self._video)
        self._input.seek(0)
        if facts.display_matrix is not None:
            if self._format in ("mp4", "mov", "matroska"):
                video.set_display_matrix(facts.display_matrix)
            else:
                self._leave_out("rotation")
        self.notes.extend(f"{name} is left out" for name in facts.lost)

    def _chapters(self) -> list:
        chapters = []
        for chapter in self._input.chapters():
            time_base = chapter["time_base"]
            if time_base is None:
                continue
            begin = chapter["start"] * time_base - self.shift
            end = chapter["end"] * time_base - self.shift
            limit = None if self._end is None else self._end - self.shift
            if (self.shift and end <= 0) or (limit is not None and begin >= limit):
                continue
            if self.shift:
                begin = max(begin, Fraction(0))
            if limit is not None:
                end = min(end, limit)
            start_ticks, end_ticks = round(begin / time_base), round(end / time_base)
            chapters.append(chapter | {"start": start_ticks, "end": end_ticks})
        return chapters


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """Metadata that only a decoded frame carries."""

    display_matrix: tuple[int, ...] | None = None
    lost: tuple[str, ...] = ()
    """Names of metadata that cannot be copied."""


def first_frame_facts(stream: av.VideoStream) -> FrameFacts:
    """Decode the first frame of `stream` and read its side data."""
    lost_types = {
        "MASTERING_DISPLAY_METADATA": "HDR mastering display data",
        "CONTENT_LIGHT_LEVEL": "HDR content light level",
        "DYNAMIC_HDR_PLUS": "HDR10+ data",
        "DOVI_METADATA": "Dolby Vision data",
        "A53_CC": "closed captions inside the video",
    }
    container = stream.container
    assert isinstance(container, InputContainer)
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except FFMPEG_ERRORS:
            continue
        for frame in frames:
            side_data: Any = frame.side_data  # iterates over values, unlike its stub
            found = {each.type.name: each for each in side_data}
            matrix = None
            if "DISPLAYMATRIX" in found:
                data = memoryview(bytes(found["DISPLAYMATRIX"])).cast("i")
                matrix = tuple(data)
            lost = tuple(text for name, text in lost_types.items() if name in found)
            return FrameFacts(matrix, lost)
    return FrameFacts()


def _codec_name(stream: Stream) -> str:
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else ""


def _copy_tags(source: Stream, target: Stream) -> None:
    for name, value in source.metadata.items():
        if name.lower() not in _STREAM_TAGS and not name.startswith("_STATISTICS"):
            target.metadata[name] = value
    target.disposition = source.disposition


def _accepts(format_name: str, stream: Stream) -> bool:
    """Whether a muxer supports `stream`, tested by writing a header to memory."""
    if stream.codec_context is None:
        return False
    trial = av.open(io.BytesIO(), "w", format=format_name)
    try:
        kwargs = {"opaque": True} if stream.type == "video" else {}
        trial.add_stream_from_template(stream, **kwargs)
        trial.start_encoding()
    except FFMPEG_ERRORS:
        return False
    finally:
        with contextlib.suppress(*FFMPEG_ERRORS):
            trial.close()
    return True
