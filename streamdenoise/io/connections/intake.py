"""Limits on what a server may send from one packet to the next."""

from typing import Protocol

MAX_PACKET_BYTES = 64 * 2**20
"""Most bytes from one packet to the next; an 8K JPEG at its best has half of them."""

TOO_MUCH = f"it sends more than {MAX_PACKET_BYTES >> 20} MiB without a frame"


class Limits(Protocol):
    """Counts packets, and ends a stream that sends too much between two."""

    fault: str
    """Why the stream was ended; empty if it was not."""

    def packet(self) -> None:
        """Note that a packet is complete, and that the next one is waited for."""
        ...


class Intake:
    """Counts what is read, and ends a stream of which it is too much or too slow.

    FFmpeg believes every length that is announced to it, and waits forever for a server
    that sends a byte now and then.

    Args:
        timeout_s: Longest wait for a packet in seconds, and for the first one.
    """

    def __init__(self, timeout_s: float) -> None:
        self.fault = ""
        self._timeout_s = timeout_s
        self._bytes = 0
        self._left_s = timeout_s

    def packet(self) -> None:
        """Note that a packet is complete, and that the next one is waited for."""
        self._bytes = 0
        self._left_s = self._timeout_s

    def arrived(self, num_bytes: int, waited_s: float) -> None:
        """Note what arrived.

        Raises:
            OSError: It is too much, or took too long.
        """
        self._bytes += num_bytes
        if self._bytes > MAX_PACKET_BYTES:
            self.fault = TOO_MUCH
            raise OSError(TOO_MUCH)
        self._left_s -= waited_s
        if self._left_s < 0:
            raise TimeoutError("no answer in time")
