"""Decodes video in FFmpeg containers; the base of files, streams and cameras."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

import av
from av.container import InputContainer
from av.format import Flags

from streamdenoise.contexts import Closing
from streamdenoise.errors import SourceLostError, SourceOpenError
from streamdenoise.frame import MAX_AREA_PX, Frame, StreamInfo, size_fault
from streamdenoise.imaging.orientation import Orientation, upright
from streamdenoise.io.connections.intake import Limits
from streamdenoise.io.ffmpeg.beside import Beside
from streamdenoise.io.ffmpeg.container import beside_streams, has_flag, video_duration
from streamdenoise.io.ffmpeg.decoder import VideoDecoder, alpha_decoder
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.filters import VideoFilters
from streamdenoise.io.ffmpeg.frame_facts import frame_facts
from streamdenoise.io.ffmpeg.hardware_decoder import open_hardware
from streamdenoise.io.ffmpeg.picture_tags import picture_tags
from streamdenoise.io.ffmpeg.pixel_formats import (
    PixelConverter,
    nearest_pix_fmt,
    original_pix_fmt,
)
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.memory_limit import check_memory
from streamdenoise.io.options import Hwaccel, ReadOptions
from streamdenoise.io.sources.file_packets import FilePackets
from streamdenoise.io.sources.hearing import Hearing
from streamdenoise.io.sources.live_packets import LivePackets, StreamLostError
from streamdenoise.io.sources.notes import StreamNotes
from streamdenoise.io.sources.seeking import Span
from streamdenoise.io.sources.timestamps import (
    ARRIVAL_TIME_BASE,
    BestEffort,
    TimestampRepair,
    arrival_pts,
)
from streamdenoise.stage_times import Work, timed
from streamdenoise.threads import thread_limit, usable_cores

# Formats with one timestamp per packet, in decoding order.
_ONE_TIME = ("avi", "asf")

# Formats without timestamps, for which FFmpeg invents a rate of 25 Hz.
_WITHOUT_CLOCK = ("mpjpeg",)

# Longest wait for the first packet of sound. Outputs that are opened before it have no
# track for it, and files never get one.
_SOUND_WAIT_S = 1.0

_BYTES_PER_PX = 1.5
_FRAMES_READ = 10
"""Frames that decoders and queues hold, beside one for each thread."""


class PyAVSource(Closing):
    """Decodes one video stream of an open container; owns the container.

    Packets that cannot be decoded are skipped and counted, frames of another size are
    scaled to the size of the first one, and `info.notes` reports both, as well as a
    requested GPU that cannot decode the stream. A live stream starts with a key frame;
    `LivePackets` decides when it is lost.

    Args:
        container: Closed with the source, and if opening fails.
        stream: The stream of `container` to decode.
        name: Name of the source in messages, without credentials.
        options: How it is read.
        is_live: Whether the stream never ends by itself, so that an end is a loss.
        comes_in_bursts: Whether it is fetched in segments of several seconds.
        intake: Counts the packets, and limits what comes between two.
        sound: Gets the sound of the stream; None leaves it out, or to `beside`.
        has_clocks: See `Hearing`.

    Raises:
        SourceOpenError: There is no decoder, or no frame arrived.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: av.VideoStream,
        name: str,
        options: ReadOptions,
        *,
        is_live: bool,
        comes_in_bursts: bool = False,
        intake: Limits | None = None,
        sound: Sound | None = None,
        has_clocks: bool = False,
    ) -> None:
        self._container = container
        self._intake = intake
        self._hearing: Hearing | None = None
        self._stream = stream
        self._name = name
        self._options = options
        self._notes = StreamNotes(name)
        self._live: LivePackets | None = None
        self._bytes_read = 0
        self._beside: Beside | None = None
        self._frames: Iterator[Frame] = iter(())
        try:
            if sound is not None:
                self._hearing = Hearing(sound, container, name, has_clocks=has_clocks)
            self._open(is_live, comes_in_bursts)
        except BaseException:
            container.close()
            raise

    def _open(self, is_live: bool, comes_in_bursts: bool) -> None:
        stream, context = self._stream, self._stream.codec_context
        if context is None:
            raise SourceOpenError(
                f"{self._name}: there is no decoder for its video; "
                "convert it with ffmpeg first"
            )
        if (context.width, context.height) != (0, 0):
            self._check_size(context.width, context.height)
        # In mid-stream the decoder rejects larger frames before it allocates them.
        context.options = {"max_pixels": str(MAX_AREA_PX)}
        if (limit := thread_limit()) is not None:
            context.thread_count = limit
        # Frame threads delay every frame by their number: good for files only.
        stream.thread_type = "SLICE" if is_live else "AUTO"
        self._decoder = self._make_decoder()
        rate = frame_rate(stream)
        time_base = stream.time_base or ARRIVAL_TIME_BASE
        self._has_clock = self._container.format.name not in _WITHOUT_CLOCK
        if not self._has_clock:
            rate, time_base = None, ARRIVAL_TIME_BASE
        # Raw streams are pictures alone; their times are counted.
        is_raw = has_flag(self._container, Flags.no_timestamps)
        self._is_counted = is_raw and not is_live
        if self._is_counted:
            rate = self._options.input_rate or rate or Fraction(25)
            time_base = 1 / rate
        elif self._options.input_rate is not None:
            self._notes.add("it has times of its own; --input-rate is not used")
        if is_live:
            self._live = LivePackets(
                self._container,
                stream,
                self._options.timeout_s,
                rate,
                has_clock=self._has_clock,
                comes_in_bursts=comes_in_bursts,
                intake=self._intake,
                hearing=self._hearing,
            )
        closes_gaps = has_flag(self._container, Flags.ts_discont)
        origin = Fraction(0)
        if closes_gaps and not is_live:
            origin = Fraction(self._container.start_time or 0, av.time_base)
        self._span = Span(stream, self._options, origin, is_live=is_live)
        if not is_live:
            self._beside = Beside(
                self._container,
                stream,
                beside_streams(self._container, stream, self._options),
                origin=origin,
                begin=self._span.begin if self._span.start_s > 0 else Fraction(0),
                end=self._span.end,
            )
            self._file = FilePackets(
                self._container,
                self._beside,
                closes_gaps=closes_gaps,
                intake=self._intake,
                hearing=self._hearing,
            )
        decoded = self._span.frames(
            self._container, partial(self._decode_fresh, time_base, rate)
        )
        first = self._first(decoded)
        self._check_size(first.width, first.height)
        if self._options.filters.fps is not None:
            rate, time_base = self._options.filters.fps, first.time_base or time_base
        self.info = replace(
            self._described(first),
            frame_rate=rate,
            time_base=time_base,
            is_live=is_live,
            num_frames=None if is_live else self._span.num_frames(rate),
            notes=self._notes.lines,
        )
        begin = [first, *self._until_heard(decoded)] if is_live else [first]
        self._frames = self._converted(itertools.chain(begin, decoded))

    def _described(self, first: av.VideoFrame) -> StreamInfo:
        """What the first frame says of the stream; decides how frames are converted."""
        pix_fmt = self._options.pix_fmt or nearest_pix_fmt(first.format.name)
        facts = frame_facts(first)
        self._orientation = Orientation()
        if self._options.upright and not self._filters.turned:
            turned = Orientation.of_matrix(facts.display_matrix)
            if turned is None:
                self._notes.add("a rotation that is no multiple of 90 is left out")
            self._orientation = turned or Orientation()
        transposed = self._orientation.transposed
        size = (first.width, first.height)
        if self._options.size is not None:
            width, height = self._options.size
            size = (height, width) if transposed else (width, height)
        original = None
        if self._options.keep_original and self._options.pix_fmt is None:
            original = original_pix_fmt(first.format.name, transposed=transposed)
        self._converter = PixelConverter(*size, pix_fmt, original)
        self._notes.conversion(first, original or pix_fmt)
        self._notes.interlacing(first, self._filters)
        aspect = self._stream.sample_aspect_ratio or None
        return StreamInfo(
            width=size[transposed],
            height=size[not transposed],
            pix_fmt=pix_fmt,
            color=self._converter(first)[1],
            sample_aspect=1 / aspect if aspect and transposed else aspect,
            display_matrix=None if self._options.upright else facts.display_matrix,
            losses=facts.losses,
            codec=self._stream.codec_context.codec.canonical_name,
            original_pix_fmt=original,
            tags=picture_tags(self._stream, first),
        )

    @property
    def beside(self) -> Beside | None:
        """What the file holds beside the video; None for a live stream."""
        return self._beside

    @property
    def bytes_read(self) -> int:
        """See `Compressed.bytes_read`."""
        return self._bytes_read

    @property
    def skipped(self) -> int:
        """Packets that could not be decoded so far, or were left out."""
        return self._decoder.skipped + self.left_out

    @property
    def left_out(self) -> int:
        """See `CatchingUp.left_out`."""
        return self._live.left_out if self._live is not None else 0

    @property
    def damaged(self) -> int:
        """Frames so far that the decoder had to conceal errors in."""
        return self._decoder.damaged

    def __iter__(self) -> Iterator[Frame]:
        if self._beside is not None:
            self._beside.begin_reading()
        return self._frames

    def close(self) -> None:
        self._frames = iter(())
        self._container.close()

    def _check_size(self, width: int, height: int) -> None:
        fault = size_fault(width, height)
        if fault is not None:
            raise SourceOpenError(f"{self._name}: {fault}")
        frames = _FRAMES_READ + usable_cores()
        check_memory(self._name, width, height, frames * _BYTES_PER_PX)

    def _make_decoder(self) -> VideoDecoder:
        # Not a method of `self`: the cycle would keep the decoder's threads alive.
        on_fallback = partial(self._notes.software_decoding, self._options.hwaccel)
        hardware = None
        if self._options.keep_original:
            with_alpha = alpha_decoder(self._stream)
            if with_alpha is not None:
                return VideoDecoder(self._stream, software=with_alpha)
        if self._options.hwaccel is not Hwaccel.NONE:
            try:
                hardware = open_hardware(self._stream, self._options.hwaccel)
            except FFMPEG_ERRORS as exc:
                on_fallback(reason(exc), False)
        return VideoDecoder(self._stream, hardware, on_fallback)

    def _decode_fresh(
        self, time_base: Fraction, rate: Fraction | None
    ) -> Iterator[av.VideoFrame]:
        """Decoded frames from the container's position on, with valid timestamps."""
        self._decoder.restart()
        is_live = self._live is not None
        self._timestamps = TimestampRepair(time_base, rate, from_zero=is_live)
        if self._live is not None:
            decoded = self._decoded_live(self._live)
        else:
            self._file.restart()
            decoded = self._decoded_file(time_base)
        self._filters = VideoFilters(
            self._options.filters, self._name, upright=self._options.upright
        )
        return self._filters(self._followed(self._timestamps(decoded), time_base))

    def _followed(
        self, frames: Iterator[av.VideoFrame], time_base: Fraction
    ) -> Iterator[av.VideoFrame]:
        """`frames`; the sound takes its place in time from them."""
        for frame in frames:
            if self._hearing is not None and frame.pts is not None:
                offset = self._timestamps.offset
                self._hearing.frame(
                    float(frame.pts * time_base), float(offset * time_base)
                )
            yield frame

    def _until_heard(self, decoded: Iterator[av.VideoFrame]) -> list[av.VideoFrame]:
        """The frames up to the first packet of sound, for a limited time."""
        frames: list[av.VideoFrame] = []
        deadline = time.monotonic() + _SOUND_WAIT_S
        while (
            self._hearing is not None
            and not self._hearing.is_complete
            and time.monotonic() < deadline
        ):
            frames.append(self._first(decoded))
        return frames

    def _decoded_file(self, time_base: Fraction) -> Iterator[av.VideoFrame]:
        best = BestEffort(one_time=self._container.format.name in _ONE_TIME)
        self._file.read_ahead()
        for packet in itertools.chain(self._file, [None]):
            self._count(packet)
            # After a failed read the decoder still has frames; after a clean end, none.
            for frame in self._decoder.decode(packet):
                frame.pts = best(frame.pts, frame.dts)
                if self._is_counted:
                    frame.pts, frame.time_base, frame.duration = None, time_base, 1
                yield frame

    def _decoded_live(self, packets: LivePackets) -> Iterator[av.VideoFrame]:
        # Before the first key frame, reference frames are missing: gray smears.
        has_begun = False
        for packet in packets:
            self._count(packet)
            for frame in self._decoder.decode(packet):
                has_begun = has_begun or packet.is_keyframe or bool(frame.key_frame)
                if not has_begun:
                    continue
                packets.frame_decoded()
                if not self._has_clock:
                    frame.pts, frame.time_base = arrival_pts(), ARRIVAL_TIME_BASE
                yield frame

    def _count(self, packet: av.Packet | None) -> None:
        if packet is not None and self._stream.codec_context.name != "rawvideo":
            self._bytes_read += packet.size

    def _first(self, decoded: Iterator[av.VideoFrame]) -> av.VideoFrame:
        try:
            first = next(decoded, None)
        except StreamLostError as lost:
            raise SourceOpenError(
                f"{self._name}: no frame arrived ({lost}); "
                "check that the source is running"
            ) from lost
        if first is not None:
            return first
        if self._span.start_s > 0 and not self.skipped:
            duration = video_duration(self._stream)
            known = "" if duration is None else f" of {float(duration):.2f} s"
            raise SourceOpenError(
                f"{self._name}: no frame at or after {self._span.start_s:g} s{known}; "
                "choose an earlier start"
            )
        raise SourceOpenError(
            f"{self._name}: none of its video can be decoded "
            f"({self.skipped} packets tried); it may be damaged or encrypted"
        )

    def _converted(self, frames: Iterator[av.VideoFrame]) -> Iterator[Frame]:
        color = self.info.color
        pix_fmt, time_base = self.info.pix_fmt, self.info.time_base
        last = self._span.begin
        try:
            for index, decoded in enumerate(frames):
                captured_at = time.monotonic()
                with timed(Work.CONVERT):
                    planes, tags, original = self._converter(decoded)
                if tags != color:
                    color = tags
                planes = upright(planes, self._orientation)
                if original is not None:
                    own = upright(original.planes, self._orientation)
                    original = replace(original, planes=own, seen=planes)
                assert decoded.pts is not None
                last = max(last, decoded.pts * time_base)
                source_s = None
                if self._hearing is not None:
                    source_s = self._hearing.source_s(float(decoded.pts * time_base))
                yield Frame(
                    planes=planes,
                    pix_fmt=pix_fmt,
                    color=color,
                    pts=decoded.pts,
                    time_base=time_base,
                    index=index,
                    captured_at=captured_at,
                    duration=decoded.duration or None,
                    original=original,
                    source_s=source_s,
                )
            if self._live is None and self._span.end is not None:
                self._file.read_beside()
        except StreamLostError as lost:
            raise SourceLostError(
                f"{self._name}: the stream was lost ({lost}); "
                "check the source and start again"
            ) from lost
        self._notes.repairs(
            self.skipped, self._decoder, self._converter, self._timestamps
        )
        if self._beside is not None:
            self._notes.file(self._file)
            if self._span.end is None and not self._file.jumps:
                end = last + self._beside.origin
                self._notes.early_end(self._stream, end, self.info.frame_rate)
        self.info = replace(self.info, notes=self._notes.lines)


def frame_rate(stream: av.VideoStream) -> Fraction | None:
    """Frames a second of `stream`, by the better one of FFmpeg's two fields.

    The average counts fields or clock ticks in some formats, and raw streams have
    none: FFmpeg then says 25. The guess is a common multiple if the rate varies.
    """
    average, guessed = stream.average_rate or None, stream.guessed_rate or None
    if average is None or guessed is None:
        return average or guessed
    container = stream.container
    assert isinstance(container, InputContainer)
    is_raw = has_flag(container, Flags.no_timestamps)
    return guessed if is_raw or guessed < average * Fraction(11, 10) else average
