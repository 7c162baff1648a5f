"""Video files, with audio, subtitles and tags copied from the input."""

import contextlib
import errno
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.ffmpeg.encoder import VideoEncoder, unchanged_priority
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.remux import CarriedStreams
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.sinks.disk_sync import DiskSync
from streamdenoise.io.sinks.partial_file import PartialFile

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

_MAX_TIMESCALE = (1 << 31) - 1

# Length of the pieces that a live recording writes: fragments of MP4 and clusters of
# Matroska (5 s by default).
_LIVE_BLOCK_S = 0.4


class FileSink(Completing):
    """Encodes to a file that has a temporary name until it is complete.

    The file is playable at any time, even after a crash: Matroska by design, MP4 and
    MOV because they are written in fragments, which `close` turns into a plain file
    (unless the input has cover art, which does not work in fragments). A crash during a
    live recording loses the last 0.4 s and the frames still in the encoder (14 frames
    for x264 with the preset ``veryfast``); a power cut loses 2 s more. Timestamps are
    those of the frames, except that Matroska rounds to milliseconds and AVI has a
    constant rate. Audio, subtitles, attachments, chapters and tags are copied from
    `copy_from`.
    """

    def __init__(
        self,
        path: Path,
        info: StreamInfo,
        *,
        encoder: EncoderConfig | None = None,
        copy_from: str | None = None,
        overwrite: bool = False,
        start_s: float = 0.0,
        duration_s: float | None = None,
    ) -> None:
        self._path = path
        self._format = MUXERS.get(path.suffix.lower(), "")
        if not self._format:
            raise SinkError(
                f"{path} cannot be written: its extension must be one of "
                f"{', '.join(MUXERS)}, .y4m or that of an image format"
            )
        if encoder is None:
            encoder = EncoderConfig("svtav1" if self._format == "webm" else "x264")
        self._partial = PartialFile(path, overwrite=overwrite)
        self._frames = 0
        self._closed = False
        self._last = Fraction(0)
        self._shift = Fraction(start_s).limit_denominator(10**6)
        self._info = info
        self._carried: CarriedStreams | None = None
        self._container: OutputContainer | None = None
        self._sync: DiskSync | None = None
        try:
            self._open(info, encoder, copy_from, start_s, duration_s)
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
        copy_from: str | None,
        start_s: float,
        duration_s: float | None,
    ) -> None:
        time_base = self._time_base(info)
        options = self._container_options(time_base)
        settings = None
        if copy_from is not None and Path(copy_from).is_file():
            self._carried = CarriedStreams(
                Path(copy_from),
                self._format,
                start_s=start_s,
                duration_s=duration_s,
            )
            self._shift = self._carried.shift
            settings = self._carried.settings()
            if self._carried.has_cover_art and "movflags" in options:
                # In FFmpeg's fragments cover art becomes a broken track.
                del options["movflags"], options["frag_duration"]
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
        )
        if self._carried is not None:
            self._carried.add_to(container, self._encoder.stream)
        self._note_aspect(info)
        # Writes the header, so that the muxer fails before the first frame, if ever.
        with unchanged_priority():
            container.start_encoding()
        if self._info.is_live:
            self._sync = DiskSync(self._partial.path)

    @property
    def partial_path(self) -> Path:
        """Path of the file until it is complete."""
        return self._partial.path

    @property
    def notes(self) -> tuple[str, ...]:
        carried = self._carried.notes if self._carried is not None else []
        return tuple(
            f"{self._path}: {note}" for note in [*self._encoder.notes, *carried]
        )

    def write(self, frame: Frame) -> None:
        if self._closed or self._container is None:
            raise ValueError("the sink is closed")
        self._info.check(frame)
        try:
            for packet in self._encoder.encode(frame, self._shift):
                self._mux(packet)
        except FFMPEG_ERRORS as exc:
            raise SinkError(self._write_message(exc)) from exc
        self._frames += 1
        self._last = frame.pts * frame.time_base - self._shift

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
            if not _has_a_frame(self._partial.path):
                self._frames = 0
        if self._frames == 0:
            self._partial.discard()
        else:
            self._partial.commit_unless_replacing()

    def _mux(self, packet: av.Packet) -> None:
        assert self._container is not None
        if self._carried is not None:
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is not None:
                self._carried.mux_until(stamp * packet.time_base)
        self._container.mux_one(packet)

    def _finish(self) -> None:
        packets = list(self._encoder.flush())
        if packets:
            self._cover_all(packets)
        for packet in packets:
            self._mux(packet)
        if self._carried is not None and self._frames:
            self._carried.finish(self._last)
        container, self._container = self._container, None
        if self._carried is not None:
            self._carried.close()
        if container is not None:
            container.close()
        self._end_sync()

    def _end_sync(self) -> None:
        sync, self._sync = self._sync, None
        if sync is not None:
            sync.close()

    def _cover_all(self, packets: list[av.Packet]) -> None:
        """Extend the last packet to the end of the frame presented last.

        If a fragment begins between a frame and the B-frames presented before it,
        FFmpeg's muxer takes the end of those B-frames as the end of the video, and
        players skip the last frame.
        """
        last = packets[-1]
        if last.pts is not None:
            shown_last = max(p.pts for p in packets if p.pts is not None)
            last.duration = shown_last - last.pts + max(last.duration or 0, 1)

    def _release(self) -> None:
        """Close everything after a failure; writing the trailer may fail, too."""
        if self._carried is not None:
            self._carried.close()
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
        options = {"flush_packets": "1"}
        if self._format in ("mp4", "mov"):
            options["movflags"] = "+hybrid_fragmented+delay_moov+frag_keyframe"
            fragment_s = _LIVE_BLOCK_S if self._info.is_live else 2
            options["frag_duration"] = f"{fragment_s * av.time_base:.0f}"
            # The unit of edit lists: any other one would round the first pts.
            options["movie_timescale"] = str(min(time_base.denominator, _MAX_TIMESCALE))
        elif self._format in ("matroska", "webm"):
            # Audio may begin a few ms before the first frame. The muxer would shift all
            # frames by that, although the format can store negative times.
            options["avoid_negative_ts"] = "disabled"
            if self._info.is_live:
                options["cluster_time_limit"] = f"{_LIVE_BLOCK_S * 1000:.0f}"
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
            remedy = "--codec svtav1" if self._format == "webm" else "an output in .mkv"
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


def is_disk_full(exc: BaseException | None) -> bool:
    """Whether the disk or the user's quota is full."""
    return isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT)


def _has_a_frame(path: Path) -> bool:
    """Whether a file that could not be completed is worth keeping."""
    with contextlib.suppress(*FFMPEG_ERRORS), av.open(f"file:{path}") as container:
        return next(container.decode(video=0), None) is not None
    return False
