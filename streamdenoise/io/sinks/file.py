"""Video files, with audio, subtitles and tags copied from the input."""

import contextlib
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.ffmpeg.beside import Beside
from streamdenoise.io.ffmpeg.carried_streams import CarriedStreams
from streamdenoise.io.ffmpeg.container import has_a_frame
from streamdenoise.io.ffmpeg.encoder import VideoEncoder, unchanged_priority
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, is_disk_full, reason
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.ffmpeg.sound_tracks import SoundTracks
from streamdenoise.io.options import EncoderConfig, default_codec
from streamdenoise.io.sinks.disk_sync import DiskSync
from streamdenoise.io.sinks.partial_file import PartialFile
from streamdenoise.progress import Stage
from streamdenoise.stage_times import Work, timed

# File extension -> FFmpeg's muxer.
MUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
}

# Encoders that write the pixel aspect ratio into the bitstream.
_ASPECT_CODECS = ("libx264", "libx265", "mpeg4", "mpeg2video")

# Packets are in order already: how long FFmpeg waits for those of another stream.
_LONGEST_WAIT_US = "2000000"

# Live, sound comes before the frames of its time, which the encoder holds back. While
# it pauses, frames must not wait for it in memory, where a crash would lose them.
_LONGEST_LIVE_WAIT_US = "300000"

_MAX_TIMESCALE = (1 << 31) - 1

# A power cut loses no more of a live recording.
SYNC_INTERVAL_S = 2.0

# Length of the pieces that are written at once: fragments of MP4 and clusters of
# Matroska (5 s by default). A cluster goes on to the end of a group of B-frames: at 15
# frames a second 0.4 s would be two groups of x265, and 0.3 s are one.
_BLOCK_S = 0.3

# A crash loses no more than this: a piece, and what the encoder holds back.
_LOST_S = 2.0


class FileSink(Completing):
    """Encodes to a file that has a temporary name until it is complete.

    The file is playable at any time, even after a crash: Matroska by design, MP4 and
    MOV because they are written in fragments, which `close` turns into a plain file
    (unless the input has cover art, or sound that begins late: FFmpeg's fragments
    cannot hold these). A crash loses the last 0.3 s and the frames that are still in
    the encoder, together at most 2 s; but SVT-AV1 may hold back 50 frames, and x265 25,
    at any rate. Of live recordings, x264 with the preset ``veryfast`` holds back 14
    frames. A power cut during a live recording loses 2 s more. Timestamps are
    those of the frames, except that Matroska rounds to milliseconds and AVI has a
    constant rate. Audio, subtitles, attachments, chapters and tags come from `beside`,
    or the sound of a live source from `sound`.
    """

    def __init__(
        self,
        path: Path,
        info: StreamInfo,
        *,
        encoder: EncoderConfig | None = None,
        beside: Beside | None = None,
        sound: Sound | None = None,
        overwrite: bool = False,
        start_s: float = 0.0,
        partial: PartialFile | None = None,
        tags: Mapping[str, str] | None = None,
        stage: Stage | None = None,
        tap: PacketTap | None = None,
    ) -> None:
        """Open the file.

        Args:
            path: Its extension selects the container.
            info: Properties of the frames.
            encoder: Codec and quality; None chooses what suits the container.
            beside: What else is copied from the input.
            sound: The sound of a live source.
            overwrite: Whether an existing file is replaced at the end.
            start_s: Subtracted from all timestamps.
            partial: The reserved name of `path`; None reserves it.
            tags: Metadata of the container.
            stage: Gets the progress of the disk.
            tap: Gets the packets of the video, too.
        """
        self._path = path
        self._format = MUXERS.get(path.suffix.lower(), "")
        if not self._format:
            raise SinkError(
                f"{path} cannot be written: its extension must be one of "
                f"{', '.join(MUXERS)}, .y4m or that of an image format"
            )
        if encoder is None:
            encoder = EncoderConfig(default_codec(path.name, info))
        self._partial = partial or PartialFile(path, overwrite=overwrite)
        self._frames = 0
        self._closed = False
        self._last = Fraction(0)
        self._last_duration = Fraction(0)
        self._shift = Fraction(start_s).limit_denominator(10**6)
        self._info = info
        self._carried: CarriedStreams | None = None
        self._sound: SoundTracks | None = None
        if sound is not None:
            self._sound = SoundTracks(sound, self._format)
        self._container: OutputContainer | None = None
        self._sync: DiskSync | None = None
        self._header_bytes = 0
        self._stage = stage or Stage()
        try:
            self._open(info, encoder, beside, tags or {}, tap)
        except BaseException as exc:
            self._release()
            self._partial.discard()
            if isinstance(exc, FFMPEG_ERRORS) and not isinstance(exc, SinkError):
                raise SinkError(self._open_message(encoder, info, exc)) from exc
            raise

    def _open(
        self,
        info: StreamInfo,
        config: EncoderConfig,
        beside: Beside | None,
        tags: Mapping[str, str],
        tap: PacketTap | None,
    ) -> None:
        time_base = self._time_base(info)
        options = self._container_options(time_base)
        if self._sound is not None:
            options["max_interleave_delta"] = _LONGEST_LIVE_WAIT_US
        settings = None
        if beside is not None:
            self._carried = CarriedStreams(beside, self._format)
            self._shift = beside.begin
            settings = beside.settings()
            if self._format in ("mp4", "mov"):
                _adapt_fragments(options, beside)
            for name, value in self._carried.container_options().items():
                options[name] = options.get(name, "") + value
        container = av.open(
            f"file:{self._partial.path}",
            "w",
            format=self._format,
            container_options=options,
        )
        self._container = container
        self._encoder = VideoEncoder(
            container,
            info,
            config,
            settings=settings,
            time_base=time_base,
            # AVI stores no presentation times: B-frames would be out of order.
            extra_options={"bf": "0"} if self._format == "avi" else None,
            longest_delay_s=_LOST_S - _BLOCK_S,
            tap=tap,
        )
        if self._carried is not None:
            self._carried.add_to(container, self._encoder.stream)
        if self._sound is not None:
            self._sound.add_to(container)
        if info.display_matrix is not None:
            self._encoder.stream.set_display_matrix(info.display_matrix)
        self._note_aspect(info)
        container.metadata.update(tags)
        # Writes the header, so that the muxer fails before the first frame, if ever.
        with unchanged_priority(), timed(Work.ENCODE):  # starts its threads
            container.start_encoding()
        if self._carried is not None:
            self._carried.begin()
        if self._info.is_live:
            self._header_bytes = self._partial.path.stat().st_size
            self._sync = DiskSync(
                self._partial.path, SYNC_INTERVAL_S, stage=self._stage
            )

    @property
    def partial_path(self) -> Path:
        """Path of the file until it is complete."""
        return self._partial.path

    @property
    def is_proven(self) -> bool:
        """Whether frames of a live stream have reached the disk, not only a cache."""
        sync = self._sync
        return sync is not None and sync.synced_bytes > self._header_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        carried = self._carried.notes if self._carried is not None else []
        sound = self._sound.notes if self._sound is not None else []
        return tuple(
            f"{self._path}: {note}" for note in [*self._encoder.notes, *carried, *sound]
        )

    @property
    def has_current_sound(self) -> bool:
        """Whether the live source has no other sound than when the file was opened."""
        return self._sound is None or self._sound.is_current

    def write(self, frame: Frame) -> None:
        if self._closed or self._container is None:
            raise ValueError("the sink is closed")
        self._info.check(frame)
        try:
            self._write_sound(frame)
            for packet in self._encoder.encode(frame, self._shift):
                with timed(Work.MUX):
                    self._mux(packet)
        except FFMPEG_ERRORS as exc:
            raise SinkError(self._write_message(exc)) from exc
        self._frames += 1
        self._last = frame.pts * frame.time_base - self._shift
        self._last_duration = (frame.duration or 0) * frame.time_base

    def write_sound(self, following: Frame, patience_s: float) -> None:
        """Write the sound up to the first frame of the next file.

        Args:
            following: That frame.
            patience_s: How long to wait for what the source sends late, in seconds.

        Raises:
            SinkError: It cannot be written.
        """
        if self._sound is None:
            return
        self._sound.wait(following, time.monotonic() + patience_s)
        try:
            self._write_sound(following)
        except FFMPEG_ERRORS as exc:
            raise SinkError(self._write_message(exc)) from exc

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        except FFMPEG_ERRORS as exc:
            self._release()
            raise SinkError(self._write_message(exc)) from exc
        if self._frames == 0:
            self._partial.discard()
            return
        self._partial.commit()

    def abort(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        except FFMPEG_ERRORS:
            self._release()
            # If the disk fails, too, what is there is kept.
            with contextlib.suppress(*FFMPEG_ERRORS):
                if not has_a_frame(self._partial.path):
                    self._frames = 0
        if self._frames == 0:
            self._partial.discard()
        else:
            self._partial.give_up(is_recording=self._info.is_live)

    def _write_sound(self, frame: Frame) -> None:
        if self._sound is not None:
            for packet in self._sound.packets(frame, self._shift):
                with timed(Work.MUX):
                    self._mux_sound(self._sound, packet)

    def _mux_sound(self, sound: SoundTracks, packet: av.Packet) -> None:
        assert self._container is not None
        try:
            self._container.mux_one(packet)
        except FFMPEG_ERRORS as exc:
            sound.refused(exc)

    def _mux(self, packet: av.Packet) -> None:
        assert self._container is not None
        if self._carried is not None:
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is not None:
                self._carried.mux_until(stamp * packet.time_base)
        try:
            self._container.mux_one(packet)
        except FFMPEG_ERRORS as exc:
            if self._carried is not None:
                self._carried.refused(exc)
            elif self._sound is not None:
                self._sound.refused(exc)
            else:
                raise

    def _finish(self) -> None:
        packets = self._encoder.flush(self._stage.advance)
        if packets:
            self._cover_all(packets)
        for packet in packets:
            self._mux(packet)
        if self._carried is not None and self._frames:
            self._carried.finish(self._last)
        if self._sound is not None and self._frames:
            for packet in self._sound.flush():
                self._mux_sound(self._sound, packet)
        container, self._container = self._container, None
        if container is not None:
            container.close()
        self._end_sync()

    def _end_sync(self) -> None:
        sync, self._sync = self._sync, None
        if sync is not None:
            sync.close()

    def _cover_all(self, packets: list[av.Packet]) -> None:
        """Extend the last packet to the end of the frame presented last.

        That is all that says how long the last picture of a slide show is shown.
        If a fragment begins between a frame and the B-frames presented before it,
        FFmpeg's muxer takes the end of those B-frames as the end of the video, and
        players skip the last frame.
        """
        last = packets[-1]
        if last.pts is not None:
            shown_last = max(p.pts for p in packets if p.pts is not None)
            shown = round(self._last_duration / last.time_base)
            last.duration = shown_last - last.pts + max(shown, last.duration or 0, 1)

    def _release(self) -> None:
        """Close everything after a failure; writing the trailer may fail, too."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(*FFMPEG_ERRORS):
                container.close()
        self._end_sync()

    def _time_base(self, info: StreamInfo) -> Fraction:
        if self._format == "avi" and info.frame_rate:
            return 1 / info.frame_rate
        return info.time_base

    def _container_options(self, time_base: Fraction) -> dict[str, str]:
        # Packets are written immediately, so that a crash loses little.
        options = {"flush_packets": "1", "max_interleave_delta": _LONGEST_WAIT_US}
        if self._format in ("mp4", "mov"):
            options["movflags"] = "+hybrid_fragmented+delay_moov+frag_keyframe"
            options["frag_duration"] = f"{_BLOCK_S * av.time_base:.0f}"
            # The unit of edit lists: any other one would round the first pts.
            options["movie_timescale"] = str(min(time_base.denominator, _MAX_TIMESCALE))
        elif self._format in ("matroska", "webm"):
            # Audio may begin a few ms before the first frame. The muxer would shift all
            # frames by that, although the format can store negative times.
            options["avoid_negative_ts"] = "disabled"
            options["cluster_time_limit"] = f"{_BLOCK_S * 1000:.0f}"
        return options

    def _note_aspect(self, info: StreamInfo) -> None:
        """Note a lost pixel aspect ratio: PyAV cannot set Matroska's own field."""
        holds = self._encoder.stream.codec_context.name in _ASPECT_CODECS
        if info.sample_aspect in (None, 1) or holds:
            return
        if self._format in ("matroska", "webm"):
            aspect = f"{info.sample_aspect}".replace("/", ":")
            self._encoder.notes.append(
                f"pixel aspect ratio {aspect} is left out: "
                "x264 and x265, or an output in .mp4, keep it"
            )

    def _open_message(
        self, config: EncoderConfig, info: StreamInfo, exc: BaseException
    ) -> str:
        if is_disk_full(exc):
            return f"{self._path} cannot be written: {reason(exc)}; free some space"
        opened = getattr(self, "_encoder", None)
        header = opened is not None and opened.stream.codec_context.is_open
        if header or (isinstance(exc, ValueError) and "does not support" in str(exc)):
            remedy = "an output in .mkv"
            if self._format == "webm":
                remedy = "--codec svtav1"
            elif config.codec == "dnxhr":
                remedy = "an output in .mov"
            return (
                f"{self._path} cannot be written: {self._format} does not support "
                f"{config.codec}; choose {remedy}"
            )
        return (
            f"{self._path} cannot be written: the {config.codec} encoder rejected "
            f"{info.width}x{info.height} {info.pix_fmt} ({reason(exc)}); "
            "try another --codec or --preset, or --codec ffv1 with an output in .mkv"
        )

    def _write_message(self, exc: BaseException) -> str:
        return (
            f"{self._path} cannot be completed: {reason(exc)}; "
            f"the part written so far is kept as {self._partial.path}"
        )


def _adapt_fragments(options: dict[str, str], beside: Beside) -> None:
    """Change how MP4 survives a crash to what the other streams allow."""
    if beside.has_cover_art or beside.has_late_sound:
        # FFmpeg makes a broken track of cover art in fragments, and writes none of
        # them before each sound track has a packet.
        del options["movflags"], options["frag_duration"]
    elif any(stream.type == "subtitle" for stream in beside.streams):
        # Fragments that end with a line displace one packet of sound.
        del options["frag_duration"]
