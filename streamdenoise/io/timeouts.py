"""Reads and child processes with a time limit, and a way to interrupt them."""

import io
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any


class Interruption:
    """An event, set once and from any thread, that runs actions when it is set."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # signal handlers may set it
        self._is_set = False
        self._actions: list[Callable[[], None]] = []

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Run all actions; further calls do nothing."""
        with self._lock:
            self._is_set = True
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def add(self, action: Callable[[], None]) -> None:
        """Run `action` when this is set; at once if it is set already."""
        with self._lock:
            if not self._is_set:
                self._actions.append(action)
                return
        action()

    def remove(self, action: Callable[[], None]) -> None:
        """Forget `action`; an unknown one is ignored."""
        with self._lock:
            if action in self._actions:
                self._actions.remove(action)


class TimedReader(io.RawIOBase):
    """A file descriptor as a raw stream whose reads wait at most `timeout_s`.

    A reader of a pipe would otherwise hang as long as the writer does. Descriptors
    that `select` does not support (pipes on Windows) block as usual.
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


class TimedProcess:
    """A child process with pipes to and from it, and a time limit for every wait.

    Reads and writes block, which works alike on all systems; killing the child ends
    them. The child is outside the terminal's process group: Ctrl-C reaches only the
    parent, which then ends the child in order.

    Args:
        command: The program and its arguments, which other users can see.
        interruption: Kills the child when it is set.
        answers: The child's stream that is read, ``stdout`` or ``stderr``.
        environment: Its environment; None is that of this process.
        descriptors: Files that the child inherits.

    Raises:
        OSError: The program cannot be started.
    """

    def __init__(
        self,
        command: list[str],
        interruption: Interruption,
        answers: str = "stdout",
        environment: dict[str, str] | None = None,
        descriptors: Collection[int] = (),
    ) -> None:
        self.is_late = False
        """Whether the child was killed because it did not answer in time."""
        self._interruption = interruption
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe if answers == "stdout" else nowhere,
            stderr=pipe if answers == "stderr" else nowhere,
            env=environment,
            bufsize=0,
            pass_fds=descriptors,
            start_new_session=True,
        )
        self._stdin: Any = self._process.stdin
        self._answers = io.BufferedReader(getattr(self._process, answers))
        interruption.add(self._process.kill)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Kill the child if the block takes longer, which ends the block's waits."""
        timer = threading.Timer(seconds, self._kill_late)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def write(self, data: bytes) -> None:
        """Write all of `data`.

        Raises:
            OSError: The child has ended.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._stdin.write(rest) :]

    def read_line(self) -> str:
        """The child's next line, without its line end; empty when the child has ended.

        May be called from another thread than `end`, after which it returns nothing.
        """
        try:
            line = self._answers.readline()
        except ValueError:  # closed between two lines
            return ""
        return line.decode(errors="replace").rstrip("\r\n")

    def end(self, grace_s: float = 0.0) -> None:
        """Close the child's stdin and wait for its end.

        Args:
            grace_s: Seconds until it is killed.
        """
        if not grace_s:
            self._process.kill()
        with self.within(grace_s or 1.0):
            self._stdin.close()
            self._process.wait()
        self._interruption.remove(self._process.kill)
        self._answers.close()

    def _kill_late(self) -> None:
        self.is_late = True
        self._process.kill()
