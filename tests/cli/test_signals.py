"""Stopping and aborting jobs that hang, in this process."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
import typer

from streamdenoise.cli import signals
from streamdenoise.cli.signals import run_until_signal
from streamdenoise.jobs.job import StopSwitch
from tests.support.waiting import wait_until


@pytest.fixture
def wake(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Ends the jobs of a test, which do not end this process."""
    monkeypatch.setattr(signals, "_leave_soon", lambda: None)
    event = threading.Event()
    yield event
    event.set()
    # Python takes a thread for ended whose `join` an exception has interrupted.
    wait_until(lambda: "job" not in {each.name for each in threading.enumerate()})


def test_a_job_that_hangs_before_it_writes_is_left_behind(
    wake: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(signals, "_PATIENCE_S", 0.1)

    def job(switch: StopSwitch) -> None:
        with switch.stage.doing("opening a.mkv"):
            os.kill(os.getpid(), signal.SIGTERM)
            wake.wait(20)

    with pytest.raises(typer.Exit) as caught:
        run_until_signal(job)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert capsys.readouterr().err.startswith("stopped: no progress for ")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_signal_aborts_at_once(
    wake: threading.Event, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(signals, "_SAME_S", 0.0)

    def job(switch: StopSwitch) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(switch.is_stopped)
        os.kill(os.getpid(), signal.SIGINT)
        wake.wait(20)

    with pytest.raises(SystemExit) as caught:
        run_until_signal(job)
    assert caught.value.code == 128 + signal.SIGINT
