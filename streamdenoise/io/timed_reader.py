"""Reads from pipes that give up after a silence instead of waiting for ever."""

import io
import os
import select
import sys


class TimedReader(io.RawIOBase):
    """A file descriptor as a raw stream whose reads wait at most `timeout_s`.

    A reader of a pipe would otherwise hang as long as the writer does. Descriptors
    that cannot be waited for (pipes on Windows) block as usual.
    """

    def __init__(self, fd: int, timeout_s: float, *, close_fd: bool = True) -> None:
        self._fd = fd
        self._timeout_s = timeout_s
        self._close_fd = close_fd

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        if sys.platform != "win32":
            ready, _, _ = select.select([self._fd], [], [], self._timeout_s)
            if not ready:
                raise TimeoutError(f"nothing came for {self._timeout_s:g} s")
        data = os.read(self._fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed and self._close_fd:
            os.close(self._fd)
        super().close()
