"""A small parent process: it ends when its child has ended, whatever hangs or crashes.

Linux removes no process while one of its threads waits for a disk or a driver that does
not answer: SIGKILL has no effect, and whoever started the process waits for it. So jobs
run in a child, and the parent, which does nothing else, ends with the child's exit code
as soon as the child's main thread has ended. A live job whose child was ended by a
crash inside a library, such as an encoder or a driver, gets a new child.
"""

import ctypes
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from streamdenoise.cli.stop_signals import STOP_SIGNALS

_LOOK_S = 0.5

_CRASHES = (
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGABRT,
)
_HEALTHY_S = 5.0
"""A child that crashes earlier would crash again."""

_PR_SET_PDEATHSIG = 1


_last_crash = ""


def last_crash() -> str:
    """Name of the signal that ended the child before this one; empty in the first."""
    return _last_crash


def run_in_child(*, restarts: bool) -> None:
    """Return in a new child process; the calling process waits for it, and ends.

    Does nothing where it would be of no use: on systems other than Linux; as a service
    of systemd, which deals with such processes and gets messages from the main one; and
    as the first process of a container, whose end waits for all others.

    Args:
        restarts: Return in another child after a crash; `last_crash` names it.
    """
    global _last_crash
    if (
        sys.platform != "linux"
        or os.environ.get("NOTIFY_SOCKET")
        or os.getpid() == 1
        or not hasattr(os, "pidfd_open")
    ):
        return
    parent = os.getpid()
    while child := os.fork():
        began_at = time.monotonic()
        status, is_stopped = _wait_for(child)
        _last_crash = _crash(status)
        is_healthy = time.monotonic() - began_at > _HEALTHY_S
        if not (restarts and _last_crash and is_healthy) or is_stopped:
            _end_as(status)
    # SIGKILL of the parent must end the job, too.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _wait_for(child: int) -> tuple[int, bool]:
    """Pass signals on to `child` until it ends.

    Returns:
        Its wait status, and whether there was a signal.
    """
    is_stopped = False

    def pass_on(signum: int, frame: FrameType | None) -> None:
        nonlocal is_stopped
        is_stopped = True
        with suppress(ProcessLookupError):
            os.kill(child, signum)

    before = {
        signum: signal.signal(signum, pass_on)
        for signum in STOP_SIGNALS
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    status = _end_of(child)
    for signum, handler in before.items():
        signal.signal(signum, handler)
    return status, is_stopped


def _end_of(child: int) -> int:
    """Wait for the end of the main thread of `child`; returns its wait status."""
    has_ended = select.poll()
    descriptor = os.pidfd_open(child)
    has_ended.register(descriptor, select.POLLIN)
    was_dead = False
    try:
        while True:
            if has_ended.poll(1000 * _LOOK_S):
                return os.waitpid(child, 0)[1]
            status = _status_of_dead(child)
            if status is not None and was_dead:
                return status
            was_dead = status is not None
    finally:
        os.close(descriptor)


def _crash(status: int) -> str:
    """Name of the signal of a crash; empty for any other end."""
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in _CRASHES:
        return signal.Signals(os.WTERMSIG(status)).name
    return ""


def _status_of_dead(child: int) -> int | None:
    """The wait status of a process whose main thread has ended; None if it has not."""
    with suppress(OSError):
        fields = Path(f"/proc/{child}/stat").read_bytes().rpartition(b")")[2].split()
        if fields[0] == b"Z":
            return int(fields[49])
    return None


def _end_as(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        signum = os.WTERMSIG(status)
        if signum != signal.SIGKILL:
            signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
