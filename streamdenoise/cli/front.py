"""A small parent process that ends when its child has ended, whatever hangs.

Linux removes no process while one of its threads waits for a disk or a driver that does
not answer: SIGKILL has no effect, and whoever started the process waits for it. So jobs
run in a child, and the parent, which does nothing else, ends with the child's exit code
as soon as the child's main thread has ended.
"""

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from streamdenoise.cli.stop_signals import STOP_SIGNALS

_LOOK_S = 0.5

_PR_SET_PDEATHSIG = 1


def run_in_child() -> None:
    """Return in a new child process; the calling process waits for it, and ends.

    Does nothing where it would be of no use: on systems other than Linux; as a service
    of systemd, which deals with such processes and gets messages from the main one; and
    as the first process of a container, whose end waits for all others.
    """
    if (
        sys.platform != "linux"
        or os.environ.get("NOTIFY_SOCKET")
        or os.getpid() == 1
        or not hasattr(os, "pidfd_open")
    ):
        return
    parent = os.getpid()
    child = os.fork()
    if child:
        _wait_for(child)
    # SIGKILL of the parent must end the job, too.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _wait_for(child: int) -> NoReturn:
    """Pass signals on to `child`, and end as it does."""

    def pass_on(signum: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signum)

    for signum in STOP_SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, pass_on)
    has_ended = select.poll()
    has_ended.register(os.pidfd_open(child), select.POLLIN)
    was_dead = False
    while True:
        if has_ended.poll(1000 * _LOOK_S):
            _end_as(os.waitpid(child, 0)[1])
        status = _status_of_dead(child)
        if status is not None and was_dead:
            _end_as(status)
        was_dead = status is not None


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
