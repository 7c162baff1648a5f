"""Stopping on SIGINT and SIGTERM."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

from streamdenoise.console.logs import logs_json
from streamdenoise.errors import BuildStoppedError, StreamDenoiseError

if TYPE_CHECKING:
    from streamdenoise.jobs.job import StopSwitch

log = logging.getLogger(__name__)


@contextmanager
def stop_by_signal() -> Iterator["StopSwitch"]:
    """Stop on the first SIGINT or SIGTERM, abort on the second.

    The exit code names the signal, as shells expect, whether the job then ends well or
    with an error, such as when it is stopped before its source is open.
    """
    from streamdenoise.jobs.job import StopSwitch

    switch = StopSwitch()
    received: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        if len(received) > 1:
            raise SystemExit(128 + signum)
        switch.stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {signum: signal.signal(signum, handle) for signum in signals}
    try:
        yield switch
    except StreamDenoiseError as exc:
        if not received and not isinstance(exc, BuildStoppedError):
            raise
        if logs_json():
            log.warning("stopped: %s", exc)
        else:
            typer.echo(f"stopped: {exc}", err=True)
        raise typer.Exit(128 + received[0] if received else 0) from exc
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    switch.signum = received[0] if received else None


def exit_by_signal(switch: "StopSwitch") -> None:
    """Exit with the code of the signal that stopped the job, if one did."""
    if switch.signum is not None:
        raise typer.Exit(128 + switch.signum)
