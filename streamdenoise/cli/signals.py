"""Stopping on SIGINT, SIGTERM and SIGHUP, whatever hangs."""

import logging
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Thread, Timer
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import typer

from streamdenoise.cli.stop_signals import STOP_SIGNALS
from streamdenoise.cli.terminal import print_progress
from streamdenoise.console.logs import logs_json
from streamdenoise.errors import BuildStoppedError, HungError, StreamDenoiseError

if TYPE_CHECKING:
    from streamdenoise.jobs.job import StopSwitch

log = logging.getLogger(__name__)

T = TypeVar("T")

_SAME_S = 0.5
"""Signals within this time are one: some send it to a process and to its group."""

_PATIENCE_S = 10.0
"""Time for what is being opened, loaded or closed when a signal arrives."""

_WATCH_S = 0.2


def run_until_signal(job: Callable[["StopSwitch"], T]) -> tuple[T, "StopSwitch"]:
    """Run `job`, stop it on the first signal, and abort it on the second.

    The job runs in a thread of its own: Python cannot handle a signal while the main
    thread is inside a library, or waits for a disk.

    The exit code names the signal, as shells expect, whether the job then ends well or
    with an error before it began to write, such as when its source is not open yet.

    Raises:
        HungError: The job does not stop.
        StreamDenoiseError: It has failed.
    """
    from streamdenoise.jobs.job import StopSwitch

    switch = StopSwitch()
    with _handled(switch) as received:
        try:
            result = _run(job, switch, received)
        except StreamDenoiseError as exc:
            if not isinstance(exc, BuildStoppedError) and (
                not received or switch.has_begun
            ):
                raise
            if logs_json():
                log.warning("stopped: %s", exc)
            else:
                print_progress(f"stopped: {exc}")
            raise typer.Exit(128 + received[0] if received else 0) from exc
        finally:
            if received:
                _leave_soon()
    switch.signum = received[0] if received else None
    return result, switch


@contextmanager
def _handled(switch: "StopSwitch") -> Generator[list[int]]:
    """Stop by signals inside the block; gives the numbers of those received."""
    received: list[int] = []
    received_at = 0.0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal received_at
        now = time.monotonic()
        if received and now - received_at < _SAME_S:
            return
        received.append(signum)
        received_at = now
        if len(received) > 1:
            raise SystemExit(128 + signum)
        switch.stop()

    previous = {
        signum: signal.signal(signum, handle)
        for signum in STOP_SIGNALS
        # nohup ignores SIGHUP on purpose.
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _run(
    job: Callable[["StopSwitch"], T], switch: "StopSwitch", received: list[int]
) -> T:
    """The result of `job`.

    Raises:
        HungError: It hangs after a signal.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(job(switch))
        except BaseException as exc:  # of any kind: the main thread raises it
            errors.append(exc)

    thread = Thread(target=run, name="job", daemon=True)
    thread.start()
    alive_at = time.monotonic()
    while thread.is_alive():
        thread.join(_WATCH_S)
        now = time.monotonic()
        if not received or switch.is_bounded:
            alive_at = now
        elif now - alive_at > _PATIENCE_S:
            raise HungError(switch.stage.hang(0) or "the job does not stop")
    if errors:
        raise errors[0]
    return results[0]


def _leave_soon() -> None:
    """End the process even if the report of the job hangs, as on a stopped terminal."""
    timer = Timer(_PATIENCE_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


def exit_by_signal(switch: "StopSwitch") -> None:
    """Exit with the code of the signal that stopped the job, if one did."""
    if switch.signum is not None:
        raise typer.Exit(128 + switch.signum)
