"""Muxes what the input holds beside its video, between the new frames."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.container import OutputContainer
from av.stream import Stream

from streamdenoise.io.ffmpeg.beside import Beside, Timed
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, is_write_failure, reason
from streamdenoise.io.ffmpeg.subtitles import TEXT_CODECS
from streamdenoise.io.ffmpeg.tracks import (
    SOUND_ENCODERS,
    CopiedTrack,
    EncodedTrack,
    TextTrack,
    Track,
    codec_name,
    survives,
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


# What muxers drop without an error.
_UNKNOWN = {"avi": ("chapters", "languages"), "mpegts": ("chapters", "tags")}

# Refused packets after which the other streams end, and then the job.
_PATIENCE = 8
_MOST_REFUSALS = 256


class CarriedStreams:
    """Writes the other streams of a file into the output, with chapters and tags.

    A stream that the output does not take is converted if there is a usual codec, else
    left out; `notes` says so. Whatever happens to one of them, the video goes on.

    Args:
        beside: What the source reads beside the video.
        format_name: The output's muxer.
    """

    def __init__(self, beside: Beside, format_name: str) -> None:
        self._beside = beside
        self._format = format_name
        self.notes: list[str] = []
        self._tracks: dict[int, Track] = {}
        self._refusals = 0
        beside.take()

    def add_to(self, output: OutputContainer, video: av.VideoStream) -> None:
        """Add the streams, chapters and tags to `output`, which already has `video`."""
        self._output = output
        beside = self._beside
        for name, value in beside.container.metadata.items():
            if name.lower() not in _FILE_TAGS:
                output.metadata[name] = value
        _copy_tags(beside.video, video)
        carried = {stream.index for stream in beside.streams}
        for stream in beside.container.streams:
            if stream.index in carried:
                self._add_stream(stream)
            elif stream.index != beside.video.index:
                self._add_uncommon(stream)
        chapters = beside.chapters()
        if chapters:
            output.set_chapters(chapters)
        has_language = any(
            "language" in track.target.metadata for track in self._tracks.values()
        )
        for what, is_there in (
            ("chapters", bool(chapters)),
            ("tags", bool(output.metadata)),
            ("languages", has_language),
        ):
            if is_there and what in _UNKNOWN.get(self._format, ()):
                self.notes.append(f"{what} are left out: {self._format} has none")

    def begin(self) -> None:
        """Write what belongs to the beginning, after the header.

        MP4 in fragments holds everything back until each track has a packet, so one
        whose first line comes late gets an empty one.
        """
        for track in self._tracks.values():
            if isinstance(track, TextTrack) and track.codec == "mov_text":
                self._mux(iter([track.silence()]))

    def container_options(self) -> dict[str, str]:
        """Options that the muxer needs to keep all tags."""
        known = {"title", "artist", "album", "comment", "date", "genre", "copyright"}
        known |= {"description", "creation_time", "encoder", "composer", "track"}
        names = {name.lower() for name in self._beside.container.metadata} - _FILE_TAGS
        if self._format in ("mp4", "mov") and names - known:
            return {"movflags": "+use_metadata_tags"}
        return {}

    def mux_until(self, moment: Fraction) -> None:
        """Write the packets up to `moment`, in seconds of the output."""
        self._mux_all(self._beside.until(moment))

    def finish(self, last: Fraction) -> None:
        """Write the remaining packets after the last frame at `last` seconds.

        Sound that continues after the video is kept. But if the job was cut short, that
        is, if the input has more frames, it ends with the last frame.
        """
        if self._beside.is_complete:
            self._mux_all(self._beside.rest())
        else:
            self.mux_until(last)
        for track in list(self._tracks.values()):
            self._mux(track.flush())

    def refused(self, exc: BaseException) -> None:
        """Handle an error of the muxer, which may be about any packet before.

        FFmpeg's muxers hold packets back to put them in order, so the packet that it
        refuses is seldom the last one. The video has been tried out before: it goes on,
        at last without the others.

        Raises:
            FFmpegError: The disk is the cause, or the video itself.
        """
        self._refusals += 1
        if is_write_failure(exc) or self._refusals > _MOST_REFUSALS:
            raise exc
        if self._refusals == 1:
            self.notes.append(
                f"{self._format} refused packets of sound or subtitles ({reason(exc)})"
            )
        if self._refusals == _PATIENCE and self._tracks:
            self._tracks.clear()
            self.notes.append("sound and subtitles end early for that reason")

    def _mux_all(self, packets: Iterable[Timed]) -> None:
        for _, packet in packets:
            track = self._tracks.get(packet.stream_index)
            if track is not None:
                self._mux(track.packets(packet))

    def _mux(self, packets: Iterator[av.Packet]) -> None:
        try:
            for packet in packets:
                self._output.mux_one(packet)
        except FFMPEG_ERRORS as exc:
            self.refused(exc)

    def _add_uncommon(self, stream: Stream) -> None:
        label = _label(stream)
        if stream.type == "attachment" and self._format == "matroska":
            _copy_tags(stream, self._output.add_stream_from_template(stream))
        elif stream.type == "video":
            self.notes.append(f"{label} is left out: only one video is denoised")
        elif stream.type in ("audio", "subtitle"):
            return  # the user's choice
        else:
            self._leave_out(label)

    def _add_stream(self, stream: Stream) -> None:
        label = _label(stream)
        codec = codec_name(stream)
        samples = self._beside.samples.get(stream.index, ())
        text_codec = _SUBTITLE_CODECS.get(self._format)
        is_text = stream.type == "subtitle" and codec in TEXT_CODECS
        track: CopiedTrack | TextTrack | EncodedTrack
        if not codec:
            self._leave_out(label)
            return
        if isinstance(stream, av.AudioStream) and not stream.rate:
            self.notes.append(f"{label} is left out: there is no sound in it")
            return
        if is_text and self._format in ("mp4", "mov"):
            # Also its own codec: cues may overlap, which its muxer cannot write.
            track = TextTrack(self._output, stream, "mov_text")
        elif survives(self._format, stream, samples):
            track = CopiedTrack(self._output, stream, samples)
        elif is_text and text_codec:
            track = TextTrack(self._output, stream, text_codec)
        elif isinstance(stream, av.AudioStream) and self._format in SOUND_ENCODERS:
            track = EncodedTrack(self._output, stream)
            self.notes.append(
                f"{label} is converted to {track.codec}: {self._format} does not "
                "support it"
            )
        else:
            self._leave_out(label)
            return
        if isinstance(track, TextTrack) and codec != track.codec:
            self.notes.append(f"{label} is converted to {track.codec}, without styles")
        _copy_tags(stream, track.target)
        self._tracks[stream.index] = track

    def _leave_out(self, label: str) -> None:
        self.notes.append(f"{label} is left out: {self._format} does not support it")


def _label(stream: Stream) -> str:
    codec = codec_name(stream)
    return f"{stream.type} stream {stream.index}" + (f" ({codec})" if codec else "")


def _copy_tags(source: Stream, target: Stream) -> None:
    for name, value in source.metadata.items():
        if name.lower() not in _STREAM_TAGS and not name.startswith("_STATISTICS"):
            target.metadata[name] = value
    target.disposition = source.disposition
