"""Decodes video in FFmpeg containers; the base of files, streams and cameras."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial

import av
import av.error
from av.container import InputContainer

from streamdenoise.contexts import Closing
from streamdenoise.errors import SourceLostError, SourceOpenError
from streamdenoise.frame import MAX_AREA_PX, Frame, StreamInfo, size_fault
from streamdenoise.io.ffmpeg.container import video_duration
from streamdenoise.io.ffmpeg.decoder import VideoDecoder
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.nvdec import open_nvdec
from streamdenoise.io.ffmpeg.pixel_formats import PixelConverter, nearest_pix_fmt
from streamdenoise.io.options import Hwaccel, ReadOptions
from streamdenoise.io.sources.live_packets import LivePackets, StreamLostError
from streamdenoise.io.sources.notes import StreamNotes
from streamdenoise.io.sources.seeking import Span
from streamdenoise.io.sources.timestamps import (
    ARRIVAL_TIME_BASE,
    TimestampRepair,
    arrival_pts,
)
from streamdenoise.masking import mask_exception

# Formats without timestamps, for which FFmpeg invents a rate of 25 Hz.
_WITHOUT_CLOCK = ("mpjpeg",)


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
    ) -> None:
        self._container = container
        self._stream = stream
        self._name = name
        self._options = options
        self._notes = StreamNotes(name)
        self._live: LivePackets | None = None
        self._frames: Iterator[Frame] = iter(())
        try:
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
        # Frame threads delay every frame by their number: good for files only.
        stream.thread_type = "SLICE" if is_live else "AUTO"
        self._decoder = self._make_decoder()
        rate = stream.average_rate or stream.guessed_rate or None
        time_base = stream.time_base or ARRIVAL_TIME_BASE
        self._has_clock = self._container.format.name not in _WITHOUT_CLOCK
        if not self._has_clock:
            rate, time_base = None, ARRIVAL_TIME_BASE
        if is_live:
            self._live = LivePackets(
                self._container,
                stream,
                self._name,
                self._options.timeout_s,
                rate,
                has_clock=self._has_clock,
                comes_in_bursts=comes_in_bursts,
            )
        self._span = Span(stream, self._options, is_live=is_live)
        decoded = self._span.frames(
            self._container, partial(self._decode_fresh, time_base, rate)
        )
        first = self._first(decoded)
        self._check_size(first.width, first.height)
        pix_fmt = self._options.pix_fmt or nearest_pix_fmt(first.format.name)
        width, height = self._options.size or (first.width, first.height)
        self._converter = PixelConverter(width, height, pix_fmt)
        self._notes.conversion(first, pix_fmt)
        self.info = StreamInfo(
            width=width,
            height=height,
            pix_fmt=pix_fmt,
            frame_rate=rate,
            time_base=time_base,
            is_live=is_live,
            color=self._converter(first)[1],
            num_frames=None if is_live else self._span.num_frames(rate),
            notes=self._notes.lines,
            sample_aspect=stream.sample_aspect_ratio or None,
        )
        self._frames = self._converted(itertools.chain([first], decoded))

    @property
    def skipped(self) -> int:
        """Packets that could not be decoded so far, or were left out."""
        left_out = self._live.left_out if self._live is not None else 0
        return self._decoder.skipped + left_out

    @property
    def damaged(self) -> int:
        """Frames so far that the decoder had to conceal errors in."""
        return self._decoder.damaged

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None:
        self._frames = iter(())
        self._container.close()

    def _check_size(self, width: int, height: int) -> None:
        fault = size_fault(width, height)
        if fault is not None:
            raise SourceOpenError(f"{self._name}: {fault}")

    def _make_decoder(self) -> VideoDecoder:
        # Not a method of `self`: the cycle would keep the decoder's threads alive.
        on_fallback = partial(self._notes.software_decoding, self._options.hwaccel)
        hardware = None
        if self._options.hwaccel is not Hwaccel.NONE:
            try:
                hardware = open_nvdec(self._stream)
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
        return self._timestamps(self._decoded())

    def _decoded(self) -> Iterator[av.VideoFrame]:
        if self._live is not None:
            yield from self._decoded_live(self._live)
            return
        for packet in self._packets_of_file():
            yield from self._decoder.decode(packet)
        # After a failed read the decoder still has frames; after a clean end, none.
        yield from self._decoder.decode(None)

    def _decoded_live(self, packets: LivePackets) -> Iterator[av.VideoFrame]:
        # Before the first key frame, reference frames are missing: gray smears.
        has_begun = False
        for packet in packets:
            for frame in self._decoder.decode(packet):
                has_begun = has_begun or packet.is_keyframe or bool(frame.key_frame)
                if not has_begun:
                    continue
                packets.frame_decoded()
                if not self._has_clock:
                    frame.pts, frame.time_base = arrival_pts(), ARRIVAL_TIME_BASE
                yield frame

    def _packets_of_file(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except (av.error.ExitError, TimeoutError) as exc:
            mask_exception(exc)  # the address is in it
            raise StreamLostError(reason(exc)) from exc
        except FFMPEG_ERRORS as exc:
            mask_exception(exc)
            self._notes.add(f"reading stopped: {reason(exc)}")

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
                planes, tags = self._converter(decoded)
                if tags != color:
                    color = tags
                assert decoded.pts is not None
                last = max(last, decoded.pts * time_base)
                yield Frame(
                    planes=planes,
                    pix_fmt=pix_fmt,
                    color=color,
                    pts=decoded.pts,
                    time_base=time_base,
                    index=index,
                    captured_at=captured_at,
                )
        except StreamLostError as lost:
            raise SourceLostError(
                f"{self._name}: the stream was lost ({lost}); "
                "check the source and start again"
            ) from lost
        self._notes.repairs(
            self.skipped, self._decoder, self._converter, self._timestamps
        )
        if self._live is None and self._span.end is None:
            self._notes.early_end(self._stream, last, self.info.frame_rate)
        self.info = replace(self.info, notes=self._notes.lines)
