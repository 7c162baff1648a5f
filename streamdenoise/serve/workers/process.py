"""A worker as the supervisor sees it: a child process, and messages to and from it."""

import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from streamdenoise.console.logs import LogFormat, logs_json
from streamdenoise.security.import_path import python_child
from streamdenoise.serve.workers.messages import Message, next_message

log = logging.getLogger(__name__)

_MOST_WAITING_BYTES = 8 << 20
"""A worker that reads nothing gets no more."""

OnMessage = Callable[["WorkerProcess", Message], None]


class WorkerProcess:
    """A child process that runs cameras.

    It has a socket to this process alone, so it notices the end of this process, even
    by SIGKILL, and ends, too.
    """

    def __init__(self, on_message: OnMessage, threads: int | None) -> None:
        """Start the process; `open` must follow.

        Args:
            on_message: Gets what it says, in the thread of the event loop.
            threads: Of each of its pools; None is up to the libraries.

        Raises:
            OSError: The system has no process or no descriptor left.
        """
        self._on_message = on_message
        ours, theirs = socket.socketpair()
        command, environment = python_child(
            "-m", "streamdenoise.serve.workers.worker", str(theirs.fileno())
        )
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    env=environment,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
        except OSError:
            ours.close()
            raise
        self._connection = ours
        self._hello = Message(
            "hello",
            {
                "threads": threads,
                "log_level": logging.getLogger().getEffectiveLevel(),
                "log_format": LogFormat.JSON if logs_json() else LogFormat.TEXT,
            },
        )
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.started_at = self.heard_at = time.monotonic()
        """Time of its last message, in seconds of the monotonic clock."""
        self.has_reported = False
        self._is_cut_off = False

    @property
    def pid(self) -> int:
        return self._process.pid

    async def open(self) -> None:
        """Begin to talk to it."""
        reader, self._writer = await asyncio.open_connection(sock=self._connection)
        self._reading = asyncio.create_task(self._read(reader))
        self.send(self._hello)

    def send(self, message: Message) -> None:
        """Say something; what cannot arrive is lost, as `is_gone` then says."""
        writer = self._writer
        if writer is None or self._is_cut_off:
            return
        if writer.transport.get_write_buffer_size() > _MOST_WAITING_BYTES:
            return  # it hangs, which its silence tells
        writer.write(message.packed())

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, or does not speak to us any more."""
        return self._is_cut_off or self._process.poll() is not None

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ended_by(self) -> str:
        """Say in words how it has ended."""
        code = self._process.poll()
        if code is None:
            return "it closed its connection"
        if code < 0:
            return f"it was ended by signal {-code}"
        return f"it ended with exit code {code}"

    def kill(self) -> None:
        """End it now; a process that waits for a driver may stay for a while."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self.close()

    def close(self) -> None:
        """Stop talking to it; a worker that still runs then ends."""
        self._is_cut_off = True
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        else:
            self._connection.close()

    async def ended(self, timeout_s: float) -> bool:
        """Whether it ends within this time."""
        deadline = time.monotonic() + timeout_s
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                message = await next_message(reader)
                self.heard_at = time.monotonic()
                self._on_message(self, message)
        except (EOFError, OSError, ValueError) as exc:
            if isinstance(exc, ValueError):
                log.error("worker %d sent no message: %s", self.pid, exc)
            self._is_cut_off = True
