"""A worker: a process that runs cameras for the supervisor, which talks to it.

It ends when the supervisor says so, or is gone; cameras complete their outputs first.

``python -m streamdenoise.serve.workers.worker FD`` is started by the supervisor; the
descriptor is a socket.
"""

import logging
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Condition, Thread
from typing import Any

import psutil
from pydantic import ValidationError

from streamdenoise.console.logs import configure_logging, install_hooks
from streamdenoise.errors import StreamDenoiseError
from streamdenoise.jobs.job import limited_pools
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.workers.job import CameraJob, no_job
from streamdenoise.serve.workers.messages import Message, receive
from streamdenoise.serve.workers.settings import Settings

log = logging.getLogger(__name__)

BEAT_S = 0.25
"""Time between two reports, which show that the process is alive."""
END_S = 15.0
"""Time for all cameras to complete their outputs."""
_MOST_WAITING_BYTES = 32 << 20


class Outbox:
    """Sends messages from a thread of its own: no camera waits for the supervisor."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Message, *, may_drop: bool = False) -> bool:
        """Whether the message will be sent: `may_drop` leaves it out of a jam."""
        data = message.packed()
        with self._changed:
            if may_drop and self._size + len(data) > _MOST_WAITING_BYTES:
                return False
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                data = self._waiting.popleft()
                self._size -= len(data)
            try:
                self._connection.sendall(data)
            except OSError:
                return  # the supervisor is gone, which the main thread sees


class Worker:
    """Does what the supervisor says; the main thread only listens and reports."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._outbox = Outbox(connection)
        self._jobs: dict[str, CameraJob] = {}
        self._rejected: dict[str, str] = {}
        """Why cameras got no job, until that is reported."""
        self._process = psutil.Process()
        self._gaps: set[tuple[str, Side]] = set()
        # Completing a file or making an image may take its time, or hang. Neither may
        # keep the other waiting.
        self._changes = ThreadPoolExecutor(2, thread_name_prefix="change")
        self._snapshots = ThreadPoolExecutor(2, thread_name_prefix="snapshot")
        self._actions: dict[str, Callable[[Message], None]] = {
            "start": self._start,
            "stop": self._stop,
            "change": self._change,
            "watch": self._watch,
            "restart": self._restart,
            "snapshot": self._snapshot,
        }

    def run(self) -> None:
        """Work until the supervisor says to end, or is gone."""
        beat_at = 0.0
        # Not `select`: the descriptor has its number from a process with many.
        incoming = select.poll()
        incoming.register(self._connection, select.POLLIN)
        while True:
            wait_s = max(0.0, beat_at + BEAT_S - time.monotonic())
            if incoming.poll(1000 * wait_s):
                try:
                    message = receive(self._connection)
                except (EOFError, OSError, ValueError):
                    break
                if message.kind == "end":
                    break
                self._act(message)
            if time.monotonic() - beat_at >= BEAT_S:
                self._report()
                beat_at = time.monotonic()
        self._end()

    def _act(self, message: Message) -> None:
        """Do what the supervisor says; what fails ends that camera, and no other."""
        name = message.fields["camera"]
        try:
            self._actions[message.kind](message)
        except Exception as exc:
            reason = _reason(exc)
            if not reason:
                log.exception("camera %s: a mistake in the program", name)
                reason = f"a mistake in the program: {type(exc).__name__}; see the log"
            if job := self._jobs.get(name):
                job.fail(reason)
            else:
                self._rejected[name] = reason

    def _start(self, message: Message) -> None:
        fields = message.fields
        settings = Settings.of_plain(fields["settings"])
        name = fields["camera"]
        emit = partial(self._emit, name)
        job = CameraJob(name, fields["table"], settings, emit)
        for side in fields["watched"]:
            job.view.watch(Side(side), True)
        job.start()
        self._jobs[name] = job

    def _stop(self, message: Message) -> None:
        if job := self._jobs.get(message.fields["camera"]):
            job.stop()

    def _change(self, message: Message) -> None:
        if job := self._jobs.get(message.fields["camera"]):
            job.settings = Settings.of_plain(message.fields["settings"])
            self._changes.submit(self._apply, job)

    def _apply(self, job: CameraJob) -> None:
        try:
            job.apply()
        except Exception:
            log.exception("camera %s: its settings were not changed", job.name)

    def _watch(self, message: Message) -> None:
        if job := self._jobs.get(message.fields["camera"]):
            job.view.watch(Side(message.fields["side"]), message.fields["wanted"])

    def _restart(self, message: Message) -> None:
        if job := self._jobs.get(message.fields["camera"]):
            job.view.restart(Side(message.fields["side"]))

    def _snapshot(self, message: Message) -> None:
        self._snapshots.submit(self._answer, message.fields)

    def _answer(self, asked: dict[str, Any]) -> None:
        job = self._jobs.get(asked["camera"])
        payload, error = b"", "the camera has no job"
        try:
            if job is not None:
                payload = job.view.snapshot(Side(asked["side"]), asked["width"])
                error = ""
        except StreamDenoiseError as exc:
            error = str(exc)
        except Exception as exc:
            log.exception("camera %s: no image could be made", asked["camera"])
            error = f"no image could be made: {type(exc).__name__}"
        self._outbox.put(
            Message("snapshot", {"id": asked["id"], "error": error}, payload)
        )

    def _emit(self, name: str, side: Side, fragment: Fragment) -> None:
        fields = {
            "camera": name,
            "side": side,
            "mime": fragment.mime,
            "is_key": fragment.is_key,
        }
        message = Message("fragment", fields, fragment.data)
        # A reader begins anew with a key frame: after a gap it waits for the next one.
        waits = (name, side) in self._gaps
        is_start = fragment.is_header or fragment.is_key
        if waits and not is_start:
            return
        if self._outbox.put(message, may_drop=not fragment.is_header):
            if fragment.is_key:
                self._gaps.discard((name, side))
        else:
            self._gaps.add((name, side))

    def _report(self) -> None:
        cameras: dict[str, Any] = {
            name: no_job(reason) for name, reason in self._rejected.items()
        }
        self._rejected.clear()
        for name, job in list(self._jobs.items()):
            cameras[name] = job.status()
            if job.join(0):
                cameras[name] = job.status()  # the last one
                del self._jobs[name]
        fields = {"cameras": cameras, "rss": self._process.memory_info().rss}
        self._outbox.put(Message("status", fields))

    def _end(self) -> None:
        deadline = time.monotonic() + END_S
        for job in self._jobs.values():
            job.stop()
        for job in self._jobs.values():
            if not job.join(max(0.0, deadline - time.monotonic())):
                log.error("camera %s does not stop, and was left behind", job.name)


def _reason(exc: Exception) -> str:
    """What is wrong with what the supervisor asked for; empty if it is not known."""
    if isinstance(exc, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, each['loc']))}: ".removeprefix(": ")
            + each["msg"].removeprefix("Value error, ")
            for each in exc.errors(include_url=False, include_input=False)
        )
    return str(exc) if isinstance(exc, StreamDenoiseError) else ""


def main() -> None:
    """Run the worker whose socket is the argument."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # Terminals and service managers signal every process; the supervisor decides.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    # Not for its jobs: systemd listens to the main process.
    os.environ.pop("NOTIFY_SOCKET", None)
    hello = receive(connection).fields
    configure_logging(hello["log_level"], hello["log_format"])
    install_hooks()
    # Once for all jobs: these limits are of the whole process.
    with limited_pools(hello["threads"]):
        Worker(connection).run()
    logging.shutdown()
    # Not the usual end of Python, which would wait for threads inside of libraries.
    os._exit(0)


if __name__ == "__main__":
    main()
