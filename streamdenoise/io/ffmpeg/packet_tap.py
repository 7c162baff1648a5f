"""A tap on an encoder: others get the packets that a sink writes."""

import logging
from fractions import Fraction
from threading import Lock
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import av

log = logging.getLogger(__name__)

_LARGEST_PX = 4096 * 2304
"""Most pixels of H.264 level 5.2, the highest that browsers play everywhere."""


class PacketListener(Protocol):
    """Gets the packets; called by the threads that encode, one at a time."""

    def wants_key_frame(self, moment: Fraction) -> bool:
        """Whether the frame at `moment`, in seconds, should be a key frame."""
        ...

    def put(
        self, stream: "av.VideoStream", packet: "av.Packet", shift: Fraction
    ) -> None:
        """Get a packet.

        Args:
            stream: That of the encoder.
            packet: Only to be read, and only during the call.
            shift: Seconds to add to its timestamps to get those of the frames.
        """
        ...


class PacketTap:
    """Passes the packets of a sink's encoder to listeners.

    It outlives the encoder: a sink that begins another file, or connects again, opens a
    new one. What a listener raises ends its listening, and never reaches the sink.
    Without listeners it costs next to nothing.
    """

    def __init__(self) -> None:
        self.bytes = 0
        """Size of all packets so far."""
        self._lock = Lock()
        self._listeners: tuple[PacketListener, ...] = ()
        self._stream: av.VideoStream | None = None
        self._next: av.VideoStream | None = None
        self._is_playable: bool | None = None
        self._moment: Fraction | None = None

    @property
    def is_playable(self) -> bool | None:
        """Whether browsers play the video; None before the encoder's first packet."""
        return self._is_playable

    @property
    def moment(self) -> Fraction | None:
        """Presentation time in seconds of the last packet, on the frames' clock."""
        return self._moment

    def listen(self, listener: PacketListener) -> None:
        """Pass the packets to `listener`, too, until `leave`; from any thread."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def leave(self, listener: PacketListener) -> None:
        """Stop passing packets to `listener`; when this returns, no call is active."""
        with self._lock:
            self._drop(listener)

    def has(self, listener: PacketListener) -> bool:
        """Whether `listener` gets the packets: not after it has failed."""
        return any(each is listener for each in self._listeners)

    def begin(self, stream: "av.VideoStream") -> None:
        """Expect the packets of a new encoder instead of those of the last one."""
        with self._lock:
            self._next = stream

    def wants_key_frame(self, moment: Fraction) -> bool:
        """Whether a listener wants the frame at `moment` to be a key frame."""
        if not self._listeners:
            return False
        is_wanted = False
        with self._lock:
            for listener in self._listeners:
                try:
                    is_wanted |= listener.wants_key_frame(moment)
                except Exception:
                    self._drop(listener)
                    log.exception("a viewer of an output has failed")
        return is_wanted

    def put(
        self, stream: "av.VideoStream", packet: "av.Packet", shift: Fraction
    ) -> None:
        """Pass a packet on before it is muxed, which changes its timestamps."""
        with self._lock:
            self.bytes += packet.size
            if stream is not self._stream:
                if stream is not self._next:
                    return  # a late packet of a file that is being finished
                self._stream = stream
                self._is_playable = _is_playable(stream)
            if packet.pts is None or packet.time_base is None:
                return
            self._moment = packet.pts * packet.time_base + shift
            for listener in self._listeners:
                try:
                    listener.put(stream, packet, shift)
                except Exception:
                    self._drop(listener)
                    log.exception("a viewer of an output has failed")

    def _drop(self, listener: PacketListener) -> None:
        self._listeners = tuple(
            each for each in self._listeners if each is not listener
        )


def _is_playable(stream: "av.VideoStream") -> bool:
    context = stream.codec_context
    return (
        context.codec.canonical_name == "h264"
        and context.pix_fmt in ("yuv420p", "yuvj420p", "nv12")
        and context.width * context.height <= _LARGEST_PX
    )
