"""Reads the packets of a live stream until the stream is lost."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer

from streamdenoise.io.connections.intake import Limits
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.sources.catch_up import CatchUp
from streamdenoise.io.sources.hearing import Hearing
from streamdenoise.io.sources.watchdog import StreamWatchdog
from streamdenoise.security.masking import mask_exception

# Wait when a device has no frame yet; a fraction of a frame time.
_DEVICE_WAIT_S = 0.002


class StreamLostError(Exception):
    """The stream is gone; the message is the reason, as a clause."""


class LivePackets:
    """Yields packets as they arrive, and detects a stream that is no longer usable.

    When decoding is too slow for the stream, packets up to the next key frame are left
    out.

    Args:
        container: The open container.
        stream: The stream of `container` whose packets are wanted.
        timeout_s: Longest wait for a packet, and for a decoded frame, in seconds.
        rate: Declared frames a second; None if unknown.
        has_clock: Whether its timestamps are real.
        comes_in_bursts: Whether it is fetched in segments of several seconds.
        intake: Counts the packets.
        hearing: Gets the packets of all other streams.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: av.VideoStream,
        timeout_s: float,
        rate: Fraction | None,
        *,
        has_clock: bool,
        comes_in_bursts: bool,
        intake: Limits | None = None,
        hearing: Hearing | None = None,
    ) -> None:
        self._container = container
        self._hearing = hearing
        self._stream = stream
        self._timeout_s = timeout_s
        self._has_clock = has_clock
        self._comes_in_bursts = comes_in_bursts
        self._intake = intake
        self._watchdog = StreamWatchdog(
            timeout_s, rate, comes_in_bursts=comes_in_bursts
        )
        self.left_out = 0
        """Packets that were left out so far."""

    def __iter__(self) -> Iterator[av.Packet]:
        """Packets, without an end.

        Raises:
            StreamLostError: The stream fell silent, ended, or is no longer usable.
        """
        for packet in self._in_time():
            pts_s = _seconds(packet.pts, packet) if self._has_clock else None
            fault = self._watchdog.packet(pts_s)
            if fault is not None:
                raise StreamLostError(fault)
            yield packet

    def frame_decoded(self) -> None:
        """Report that a frame was decoded."""
        self._watchdog.frame()

    def _in_time(self) -> Iterator[av.Packet]:
        """The packets without those that decoding is too slow for."""
        packets = self._arriving()
        catch_up = CatchUp()
        is_skipping = False
        while True:
            before = time.monotonic()
            packet = next(packets)
            now = time.monotonic()
            time_s = _seconds(packet.dts, packet)
            if time_s is None or self._comes_in_bursts:
                yield packet
                continue
            is_skipping = catch_up.packet(time_s, now - before) or is_skipping
            if packet.is_keyframe:
                is_skipping = False
            self.left_out += is_skipping
            if not is_skipping:
                yield packet

    def _arriving(self) -> Iterator[av.Packet]:
        wait = threading.Event()
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                # Of all streams: a camera may send sound after its video has stopped.
                for packet in self._container.demux():
                    is_late = time.monotonic() > deadline
                    if packet.stream_index != self._stream.index:
                        if self._hearing is not None:
                            self._hearing.packet(packet)
                    else:
                        self._report(packet)
                        yield packet
                        deadline = time.monotonic() + self._timeout_s
                        if self._intake is not None:
                            self._intake.packet()
                    # FFmpeg returns the packets it has before it reports a time-out.
                    if is_late:
                        raise StreamLostError("no answer in time")
            except av.error.BlockingIOError:
                # A capture device that has no frame yet.
                if time.monotonic() > deadline:
                    raise StreamLostError("it fell silent") from None
                wait.wait(_DEVICE_WAIT_S)
            except FFMPEG_ERRORS as exc:
                mask_exception(exc)  # the address is in it
                raise StreamLostError(self._fault or reason(exc)) from exc
            else:
                raise StreamLostError(self._fault or "the other side ended it")

    def _report(self, packet: av.Packet) -> None:
        pts_s = _seconds(packet.pts, packet)
        if self._hearing is not None and pts_s is not None:
            self._hearing.video_packet(pts_s)

    @property
    def _fault(self) -> str:
        return "" if self._intake is None else self._intake.fault


def _seconds(ticks: int | None, packet: av.Packet) -> float | None:
    if ticks is None or packet.time_base is None:
        return None
    return float(ticks * packet.time_base)
