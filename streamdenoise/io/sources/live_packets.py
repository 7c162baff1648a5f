"""Packets of a live stream, until it is lost."""

import logging
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer

from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.sources.catch_up import CatchUp
from streamdenoise.io.sources.watchdog import StreamWatchdog
from streamdenoise.masking import mask_exception

log = logging.getLogger(__name__)

# Devices that have no picture yet say so; a fraction of a frame time is a good wait.
_DEVICE_WAIT_S = 0.002

_LOG_INTERVAL_S = 5.0


class StreamLostError(Exception):
    """The stream is gone; the message says why, to stand in a sentence."""


class LivePackets:
    """Reads packets as they arrive, and notices when the stream is as good as dead.

    When decoding is too slow for the stream, packets up to the next key frame are left
    out.

    Args:
        container: What is read.
        stream: The one of its streams whose packets are given.
        name: For the log.
        timeout_s: Longest wait for a packet, and for a decoded frame, in seconds.
        rate: Declared frames a second; None if unknown.
        has_clock: Whether its timestamps mean anything.
        comes_in_bursts: It is fetched in pieces of seconds.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: av.VideoStream,
        name: str,
        timeout_s: float,
        rate: Fraction | None,
        *,
        has_clock: bool,
        comes_in_bursts: bool,
    ) -> None:
        self._container = container
        self._stream = stream
        self._name = name
        self._timeout_s = timeout_s
        self._has_clock = has_clock
        self._comes_in_bursts = comes_in_bursts
        self._watchdog = StreamWatchdog(
            timeout_s, rate, comes_in_bursts=comes_in_bursts
        )
        self.left_out = 0
        """Packets that were left out so far."""

    def __iter__(self) -> Iterator[av.Packet]:
        """Packets without an end.

        Raises:
            StreamLostError: It fell silent, ended, or sends nothing that can be used.
        """
        for packet in self._in_time():
            pts_s = _seconds(packet.pts, packet) if self._has_clock else None
            fault = self._watchdog.packet(pts_s)
            if fault is not None:
                raise StreamLostError(fault)
            yield packet

    def frame_decoded(self) -> None:
        """Report that a packet gave a frame."""
        self._watchdog.picture()

    def _in_time(self) -> Iterator[av.Packet]:
        """Without those that would come too late, up to the next key frame."""
        packets = self._arriving()
        catch_up = CatchUp()
        is_skipping = False
        logged_at = 0.0
        while True:
            before = time.monotonic()
            packet = next(packets)
            now = time.monotonic()
            time_s = _seconds(packet.dts, packet)
            if time_s is None or self._comes_in_bursts:
                yield packet
                continue
            is_skipping = catch_up.packet(time_s, now - before) or is_skipping
            if is_skipping and packet.is_keyframe:
                is_skipping = False
                if now > logged_at + _LOG_INTERVAL_S:
                    logged_at = now
                    log.warning(
                        "%s: decoding is too slow, %d pictures were left out so far",
                        self._name,
                        self.left_out,
                    )
            self.left_out += is_skipping
            if not is_skipping:
                yield packet

    def _arriving(self) -> Iterator[av.Packet]:
        wait = threading.Event()
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                # Of all streams: a camera's sound goes on when its picture has stopped.
                for packet in self._container.demux():
                    is_late = time.monotonic() > deadline
                    if packet.stream_index == self._stream.index:
                        yield packet
                        deadline = time.monotonic() + self._timeout_s
                    # FFmpeg gives what it has before it reports a time-out.
                    if is_late:
                        raise StreamLostError("no answer in time")
            except av.error.BlockingIOError:
                # A capture device without a picture yet.
                if time.monotonic() > deadline:
                    raise StreamLostError("it fell silent") from None
                wait.wait(_DEVICE_WAIT_S)
            except FFMPEG_ERRORS as exc:
                mask_exception(exc)  # the address is in it
                raise StreamLostError(reason(exc)) from exc
            else:
                raise StreamLostError("the other side ended it")


def _seconds(ticks: int | None, packet: av.Packet) -> float | None:
    if ticks is None or packet.time_base is None:
        return None
    return float(ticks * packet.time_base)
