"""Frames out of an FFmpeg container: what files, streams and cameras share."""

import itertools
import logging
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
import av.error
from av.container import InputContainer

from streamdenoise.contexts import Closing
from streamdenoise.errors import SourceError, SourceLostError, SourceOpenError
from streamdenoise.frame import MAX_AREA_PX, Frame, StreamInfo, size_fault
from streamdenoise.io.ffmpeg.container import video_duration, video_start
from streamdenoise.io.ffmpeg.decoder import VideoDecoder
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.nvdec import open_nvdec
from streamdenoise.io.ffmpeg.pixel_formats import (
    PixelConverter,
    nearest_pix_fmt,
    same_samples,
)
from streamdenoise.io.options import Hwaccel, ReadOptions
from streamdenoise.io.sources.catch_up import CatchUp
from streamdenoise.io.sources.timestamps import (
    ARRIVAL_TIME_BASE,
    TimestampRepair,
    arrival_pts,
)
from streamdenoise.io.sources.watchdog import StreamWatchdog
from streamdenoise.masking import mask_exception

log = logging.getLogger(__name__)

# One rounding step of FFmpeg's microseconds, so that a frame exactly on a bound stays.
_EPSILON = Fraction(1, 500_000)

# Devices that have no picture yet say so; a fraction of a frame time is a good wait.
_DEVICE_WAIT_S = 0.002

# Formats without times: FFmpeg makes them up, at 25 a second.
_WITHOUT_CLOCK = ("mpjpeg",)

_LOG_INTERVAL_S = 5.0


class PyAVSource(Closing):
    """Decodes one video stream of an open container; owns the container.

    Packets that cannot be decoded are skipped and counted, frames of another size are
    scaled to the first one's, and both are told in `info.notes`, as is a GPU that was
    asked for and cannot decode it. A live stream starts with a key picture; a
    `StreamWatchdog` decides when it is lost; what is too slow for it leaves out packets
    up to the next key frame.

    Args:
        container: Closed with the source, and if it cannot be opened.
        stream: The one of its streams that is decoded.
        name: What messages call it, without credentials.
        options: How it is read.
        is_live: It never ends by itself: an end is a loss.
        comes_in_bursts: A live stream that is fetched in pieces of seconds.

    Raises:
        SourceOpenError: There is no decoder, or no picture came.
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
        self._is_live = is_live
        self._timeout_s = options.timeout_s
        self._hwaccel = options.hwaccel
        self._start_s = 0.0 if is_live else options.start_s
        self._comes_in_bursts = comes_in_bursts
        self._is_open = False
        self._left_out = 0
        self._notes: list[str] = []
        self._frames: Iterator[Frame] = iter(())
        try:
            self._open(options)
        except BaseException:
            container.close()
            raise

    def _open(self, options: ReadOptions) -> None:
        stream, context = self._stream, self._stream.codec_context
        if context is None:
            raise SourceOpenError(
                f"{self._name}: there is no decoder for its video; "
                "convert it with ffmpeg first"
            )
        fault = size_fault(context.width, context.height)
        if fault is not None and (context.width, context.height) != (0, 0):
            raise SourceOpenError(f"{self._name}: {fault}")
        # The decoder refuses larger pictures in mid-stream before it allocates them.
        context.options = {"max_pixels": str(MAX_AREA_PX)}
        # Frame threads delay every picture by their number: good for files only.
        stream.thread_type = "SLICE" if self._is_live else "AUTO"
        # A bound method would be a cycle, and keep the decoder's threads after us.
        fell_back = weakref.WeakMethod(self._fell_back)

        def tell(why: str, began: bool) -> None:
            if (method := fell_back()) is not None:
                method(why, began)

        self._decoder = VideoDecoder(stream, self._hardware(), tell)
        self._has_clock = self._container.format.name not in _WITHOUT_CLOCK
        rate = stream.average_rate or stream.guessed_rate or None
        time_base = stream.time_base or ARRIVAL_TIME_BASE
        if not self._has_clock:
            rate, time_base = None, ARRIVAL_TIME_BASE
        start = Fraction(self._start_s).limit_denominator(10**6)
        # A live stream's timestamps are made to begin at 0.
        self._begin = Fraction(0) if self._is_live else video_start(stream) + start
        self._end: Fraction | None = None
        if options.duration_s is not None:
            duration = Fraction(options.duration_s).limit_denominator(10**6)
            self._end = self._begin + duration
        self._timestamps = TimestampRepair(time_base, rate, from_zero=self._is_live)
        decoded = self._positioned(time_base, rate)
        first = next(decoded, None)
        if first is None:
            raise SourceOpenError(self._nothing_message())
        fault = size_fault(first.width, first.height)
        if fault is not None:
            raise SourceOpenError(f"{self._name}: {fault}")
        target = options.pix_fmt or nearest_pix_fmt(first.format.name)
        width, height = options.size or (first.width, first.height)
        self._converter = PixelConverter(width, height, target)
        self._note_stream(first, target)
        self.info = StreamInfo(
            width=width,
            height=height,
            pix_fmt=target,
            frame_rate=rate,
            time_base=time_base,
            is_live=self._is_live,
            color=self._converter(first)[1],
            num_frames=self._expected_frames(rate),
            notes=tuple(self._notes),
            sample_aspect=stream.sample_aspect_ratio or None,
        )
        self._frames = self._converted(itertools.chain([first], decoded))
        self._is_open = True

    @property
    def skipped(self) -> int:
        """Packets that could not be decoded so far, or not in time."""
        return self._decoder.skipped + self._left_out

    @property
    def damaged(self) -> int:
        """Pictures so far that the decoder had to patch up."""
        return self._decoder.damaged

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None:
        self._frames = iter(())
        self._container.close()

    def _hardware(self) -> av.VideoCodecContext | None:
        if self._hwaccel is Hwaccel.NONE:
            return None
        try:
            return open_nvdec(self._stream)
        except FFMPEG_ERRORS as exc:
            self._fell_back(reason(exc), False)
            return None

    def _fell_back(self, why: str, began: bool) -> None:
        """Tell of it where it was asked for, or where pictures may be missing."""
        if began:
            text = (
                f"NVDEC failed in mid-stream ({why}); the rest is decoded in software"
            )
        else:
            text = (
                f"--hwaccel {self._hwaccel}: NVDEC cannot be used ({why}); "
                "decoded in software"
            )
        if began or self._hwaccel is Hwaccel.CUDA:
            self._notes.append(f"{self._name}: {text}")
        else:
            log.debug("%s: %s", self._name, text)

    def _positioned(
        self, time_base: Fraction, rate: Fraction | None
    ) -> Iterator[av.VideoFrame]:
        """Decoded frames from the first one at or after the start."""
        if self._start_s <= 0:
            yield from self._trimmed(self._timestamps(self._decoded(rate)))
            return
        # Some containers seek to a packet that no decoder can begin with: try earlier.
        for margin_s in (0, 10, None):
            if not self._seek(margin_s):
                continue
            self._decoder.restart()
            self._timestamps = TimestampRepair(time_base, rate)
            frames = self._timestamps(self._decoded(rate))
            first = next(frames, None)
            if first is None:
                continue
            early = first.pts is not None and self._time(first) <= self._begin
            if early or margin_s is None:
                yield from self._trimmed(itertools.chain([first], frames))
                return

    def _seek(self, margin_s: int | None) -> bool:
        """Go `margin_s` before the start, or with None to the very beginning."""
        beginning = video_start(self._stream)
        target = beginning
        if margin_s is not None:
            target = max(beginning, self._begin - margin_s)
        time_base = self._stream.time_base or Fraction(1, av.time_base)
        try:
            self._container.seek(int(target / time_base), stream=self._stream)
        except FFMPEG_ERRORS:
            return margin_s is None  # cannot seek: decode up to the start
        return True

    def _time(self, frame: av.VideoFrame) -> Fraction:
        assert frame.pts is not None
        assert frame.time_base is not None
        return frame.pts * frame.time_base

    def _trimmed(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            if self._start_s > 0 and self._time(frame) < self._begin - _EPSILON:
                continue
            if self._end is not None and self._time(frame) >= self._end - _EPSILON:
                return
            yield frame

    def _decoded(self, rate: Fraction | None) -> Iterator[av.VideoFrame]:
        if self._is_live:
            yield from self._decoded_live(rate)
            return
        for packet in self._packets():
            yield from self._decoder.decode(packet)
        # A read that failed leaves pictures in the decoder; after a clean end: none.
        yield from self._decoder.decode(None)

    def _decoded_live(self, rate: Fraction | None) -> Iterator[av.VideoFrame]:
        watchdog = StreamWatchdog(
            self._timeout_s, rate, comes_in_bursts=self._comes_in_bursts
        )
        # Without the pictures that they refer to, the first ones are gray smears.
        has_begun = False
        for packet in self._in_time(self._packets()):
            pts_s = _seconds(packet.pts, packet) if self._has_clock else None
            fault = watchdog.packet(pts_s)
            if fault is not None:
                raise self._lost(fault)
            for frame in self._decoder.decode(packet):
                has_begun = has_begun or packet.is_keyframe or bool(frame.key_frame)
                if not has_begun:
                    continue
                watchdog.picture()
                if not self._has_clock:
                    frame.pts, frame.time_base = arrival_pts(), ARRIVAL_TIME_BASE
                yield frame

    def _in_time(self, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        """Without those that would come too late, up to the next key frame."""
        catch_up = CatchUp()
        is_skipping = False
        told = 0.0
        while True:
            before = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                return
            now = time.monotonic()
            time_s = _seconds(packet.dts, packet)
            if time_s is None or self._comes_in_bursts:
                yield packet
                continue
            is_skipping = catch_up.packet(time_s, now - before) or is_skipping
            if is_skipping and packet.is_keyframe:
                is_skipping = False
                if now > told + _LOG_INTERVAL_S:
                    told = now
                    log.warning(
                        "%s: decoding is too slow, %d pictures were left out so far",
                        self._name,
                        self._left_out,
                    )
            self._left_out += is_skipping
            if not is_skipping:
                yield packet

    def _packets(self) -> Iterator[av.Packet]:
        wait = threading.Event()
        deadline = time.monotonic() + self._timeout_s
        # A camera's sound goes on when its picture has stopped: do not wait inside.
        streams = () if self._is_live else (self._stream,)
        while True:
            packets = self._container.demux(*streams)
            try:
                for packet in packets:
                    is_late = self._is_live and time.monotonic() > deadline
                    if packet.stream_index == self._stream.index:
                        yield packet
                        deadline = time.monotonic() + self._timeout_s
                    # FFmpeg gives what it has before it tells of a time-out.
                    if is_late:
                        raise self._lost("no answer in time")
            except av.error.BlockingIOError:
                # A capture device without a picture yet.
                if time.monotonic() > deadline:
                    raise self._lost("it fell silent") from None
                wait.wait(_DEVICE_WAIT_S)
                continue
            except (av.error.ExitError, TimeoutError) as exc:
                mask_exception(exc)  # the address is in it
                raise self._lost(reason(exc)) from exc
            except SourceError:
                raise
            except FFMPEG_ERRORS as exc:
                mask_exception(exc)
                if self._is_live:
                    raise self._lost(reason(exc)) from exc
                self._notes.append(f"{self._name}: reading stopped: {reason(exc)}")
                return
            if self._is_live:
                raise self._lost("the other side ended it")
            return

    def _converted(self, frames: Iterator[av.VideoFrame]) -> Iterator[Frame]:
        color = self.info.color
        pix_fmt, time_base = self.info.pix_fmt, self.info.time_base
        last_end = self._begin
        for index, decoded in enumerate(frames):
            captured_at = time.monotonic()
            planes, tags = self._converter(decoded)
            if tags != color:
                color = tags
            assert decoded.pts is not None
            last_end = max(last_end, decoded.pts * time_base)
            yield Frame(
                planes=planes,
                pix_fmt=pix_fmt,
                color=color,
                pts=decoded.pts,
                time_base=time_base,
                index=index,
                captured_at=captured_at,
            )
        self._note_end(last_end)

    def _expected_frames(self, rate: Fraction | None) -> int | None:
        if self._is_live:
            return None
        duration = video_duration(self._stream)
        if self._end is None and self._start_s <= 0 and self._stream.frames:
            return self._stream.frames
        if duration is not None:
            duration -= self._begin - video_start(self._stream)
        if self._end is not None:
            span = self._end - self._begin
            duration = span if duration is None else min(span, duration)
        if duration is None or rate is None:
            return None
        return max(1, round(duration * rate))

    def _note_stream(self, first: av.VideoFrame, target: str) -> None:
        name = first.format.name
        if same_samples(name) != target:
            self._notes.append(f"{self._name}: {name} is converted to {target}")
        if first.interlaced_frame:
            self._notes.append(
                f"{self._name}: interlaced video is denoised as whole frames; "
                "deinterlace it first for best results"
            )

    def _note_end(self, last: Fraction) -> None:
        """Say what was skipped, and whether the end came before it was announced."""
        notes = self._notes
        if self.skipped:
            notes.append(
                f"{self._name}: skipped {self.skipped} frames that cannot be decoded"
            )
        if self._decoder.damaged:
            notes.append(
                f"{self._name}: {self._decoder.damaged} frames were damaged and "
                "patched up"
            )
        if self._converter.rescaled:
            notes.append(
                f"{self._name}: scaled {self._converter.rescaled} frames of another "
                f"size to {self.info.width}x{self.info.height}"
            )
        if self._timestamps.straightened:
            notes.append(
                f"{self._name}: corrected {self._timestamps.straightened} timestamps "
                "that ran backwards"
            )
        self._note_truncation(last)
        self.info = replace(self.info, notes=tuple(notes))

    def _note_truncation(self, last: Fraction) -> None:
        duration = video_duration(self._stream)
        if self._is_live or duration is None or self._end is not None:
            return
        end = video_start(self._stream) + duration
        step = 1 / (self.info.frame_rate or Fraction(10))
        # Other streams may outlast the video where the container gives one duration.
        own = bool(self._stream.duration) or "DURATION" in self._stream.metadata
        slack = 3 * step if own else max(3 * step, Fraction(2))
        if last + slack < end:
            self._notes.append(
                f"{self._name}: ends at {float(last):.2f} s of {float(end):.2f} s; "
                "the file is truncated or damaged there"
            )

    def _lost(self, why: str) -> SourceError:
        if not self._is_open:
            return SourceOpenError(
                f"{self._name}: no picture came ({why}); "
                "check that the source is running"
            )
        return SourceLostError(
            f"{self._name}: the stream was lost ({why}); "
            "check the source and start again"
        )

    def _nothing_message(self) -> str:
        duration = video_duration(self._stream)
        if self._start_s > 0 and not self.skipped:
            known = "" if duration is None else f" of {float(duration):.2f} s"
            return (
                f"{self._name}: no frame at or after {self._start_s:g} s{known}; "
                "choose an earlier start"
            )
        return (
            f"{self._name}: none of its video can be decoded "
            f"({self.skipped} packets tried); it may be damaged or encrypted"
        )


def _seconds(ticks: int | None, packet: av.Packet) -> float | None:
    if ticks is None or packet.time_base is None:
        return None
    return float(ticks * packet.time_base)
