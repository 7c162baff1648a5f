"""Notifications to systemd: ready, alive, status and stopping (sd_notify protocol)."""

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Self

from streamdenoise.security.masking import mask_credentials
from streamdenoise.security.plain_text import printable

log = logging.getLogger(__name__)

MAX_STATUS = 1000
"""Longest status in characters; systemd drops messages larger than a memory page."""


class Notifier:
    """Sends messages to the service manager; does nothing if there is none.

    No method raises or blocks: a message that cannot be sent is lost.
    """

    def __init__(
        self,
        address: str | None = None,
        watchdog_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to notify, without sending anything.

        Args:
            address: Socket of the service manager: a path, or ``@`` and an abstract
                name.
            watchdog_s: Watchdog timeout of the service in seconds; None if it has none.
            clock: Returns seconds; sets the pace of `watchdog`.
        """
        self._address = address
        self._interval_s = None if watchdog_s is None else watchdog_s / 2
        self._clock = clock
        self._alive_at = float("-inf")
        self._ready = False
        self._status = ""

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Create a notifier from the environment variables that systemd sets."""
        watchdog_us = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        wanted = is_ours and watchdog_us.isascii() and watchdog_us.isdigit()
        return cls(
            environ.get("NOTIFY_SOCKET") or None,
            int(watchdog_us) / 1e6 if wanted and int(watchdog_us) else None,
            clock,
        )

    def ready(self) -> None:
        """Report that startup is complete; later calls send nothing."""
        if not self._ready:
            self._ready = self._send("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is read again; `ready` must follow."""
        self._ready = False
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def watchdog(self) -> None:
        """Report that the service is alive; call it often, it limits its own rate."""
        if self._interval_s is None:
            return
        now = self._clock()
        if now - self._alive_at >= self._interval_s and self._send("WATCHDOG=1"):
            self._alive_at = now

    def status(self, text: str) -> None:
        """Show `text` in ``systemctl status``; the same text is sent once."""
        # A line break inside an error would begin another message.
        words = mask_credentials(text).encode(errors="replace").decode().split()
        line = printable(" ".join(words))[:MAX_STATUS]
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def stopping(self) -> None:
        """Report that the service is stopping on purpose."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        """Whether `message` was sent."""
        if self._address is None:
            return False
        address = os.fsencode(self._address)
        if address.startswith(b"@"):
            address = b"\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto(message.encode(errors="replace"), address)
        except (OSError, AttributeError) as exc:  # the latter: no AF_UNIX on Windows
            log.debug("cannot send %s to the service manager: %s", message, exc)
            return False
        return True
