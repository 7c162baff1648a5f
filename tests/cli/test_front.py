"""The parent process of a job: signals go through it, and nothing outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from streamdenoise.io.open import open_source
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


def test_a_crash_is_passed_on_by_jobs_that_cannot_start_again(
    job: subprocess.Popen[str],
):
    (child,) = psutil.Process(job.pid).children()
    child.send_signal(signal.SIGSEGV)
    assert job.wait(50) == -signal.SIGSEGV


HEALTHY_S = 1.0
"""In place of the 5 s after which a crash is worth another start."""

IMPATIENT = f"""
from streamdenoise.cli import front
front._HEALTHY_S = {HEALTHY_S}
from streamdenoise.__main__ import main
main()
"""


@contextmanager
def live_job(tmp_path: Path, *program: str) -> Iterator[subprocess.Popen[str]]:
    options = command(
        "live", "testsrc:64x48@30", "--no-window", "--log-format", "json",
        "-o", tmp_path / "clips/%H-%M-%S.mkv", "--segment", "60s",
        "-o", tmp_path / "whole.mkv",
    )[3:]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, *program, *options],
        env=environment(), text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def child_of(job: subprocess.Popen[str]) -> psutil.Process:
    front = psutil.Process(job.pid)
    wait_until(lambda: len(front.children()) == 1)
    return front.children()[0]


def test_a_live_job_whose_library_crashed_starts_again(tmp_path: Path):
    whole, clips = tmp_path / "whole.part.mkv", tmp_path / "clips"

    def is_recorded() -> bool:
        paths = (whole, *clips.glob("*.mkv"))
        return len(paths) > 1 and all(
            path.exists() and path.stat().st_size > 5000 for path in paths
        )

    with live_job(tmp_path, "-c", IMPATIENT) as job:
        child = child_of(job)
        wait_until(is_recorded)
        wait_until(lambda: time.time() - child.create_time() > HEALTHY_S + 0.5)
        child.send_signal(signal.SIGSEGV)
        wait_until((tmp_path / "whole.part2.mkv").exists)
        job.terminate()
        _, errors = job.communicate(timeout=50)
    assert job.returncode == 128 + signal.SIGTERM, errors
    messages = [json.loads(line)["message"] for line in errors.splitlines()]
    again = [text for text in messages if "crash inside a library (SIGSEGV)" in text]
    assert len(again) == 1, messages
    for recorded in (whole, min(clips.glob("*.mkv"))):
        with open_source(str(recorded)) as source:
            assert len(list(source)) > 0


def test_a_live_job_that_crashes_at_once_ends(tmp_path: Path):
    with live_job(tmp_path, "-m", "streamdenoise") as job:
        child_of(job).send_signal(signal.SIGSEGV)
        assert job.wait(50) == -signal.SIGSEGV
