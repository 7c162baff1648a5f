"""The parent process of a job: signals go through it, and nothing outlives it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.command import command, environment
from tests.support.waiting import wait_until


@pytest.fixture
def job(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`file` in a process group of its own, under nohup, that has begun to write."""
    words = command("file", "testsrc:64x48@30", "-o", tmp_path / "out.mp4")
    process = subprocess.Popen(
        ["nohup", *words], env=environment(), cwd=tmp_path, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        part = tmp_path / "out.part.mp4"
        wait_until(lambda: part.exists() and part.stat().st_size > 5000)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_signal_to_the_whole_group_counts_once(
    job: subprocess.Popen[str], tmp_path: Path
):
    os.killpg(job.pid, signal.SIGHUP)  # nohup has them ignore it
    os.killpg(job.pid, signal.SIGTERM)
    _, errors = job.communicate(timeout=50)
    assert job.returncode == 128 + signal.SIGTERM, errors
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_sigkill_of_the_parent_ends_the_job(job: subprocess.Popen[str]):
    (child,) = psutil.Process(job.pid).children()
    job.kill()
    child.wait(50)
    assert job.wait() == -signal.SIGKILL


def test_an_end_by_a_signal_is_passed_on(job: subprocess.Popen[str]):
    (child,) = psutil.Process(job.pid).children()
    child.send_signal(signal.SIGKILL)
    assert job.wait(50) == -signal.SIGKILL
