"""The job of a camera in a worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from streamdenoise.serve.workers import job as job_module
from streamdenoise.serve.workers.job import CameraJob, Outcome
from streamdenoise.serve.workers.settings import Settings
from tests.serve.running import SMALL
from tests.support.waiting import wait_until


@contextmanager
def running(source: str, settings: Settings | None = None) -> Iterator[CameraJob]:
    table = {"source": source, "model": "pico"}
    job = CameraJob("a", table, settings or Settings(), lambda *_: None)
    job.start()
    try:
        yield job
    finally:
        job.stop()
        assert job.join(30)


def stats(job: CameraJob) -> dict[str, Any]:
    return job.status()["stats"] or {}


def test_what_is_set_while_it_is_opened_applies_when_it_runs() -> None:
    with running(SMALL) as job:
        wait_until(lambda: bool(job._switch.stage.hang(-1.0)), poll_s=0.001)
        job.settings = Settings(strength=0.25, sigma=12.0)
        job.apply()
        wait_until(lambda: stats(job).get("sigma") == 12.0)
        assert stats(job)["strength"] == 0.25


def test_waiting_for_a_camera_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what follows: a model that is loaded reports no figures."""
    monkeypatch.setattr(job_module, "_SILENT_S", 0.0)
    with running("rtsp://127.0.0.1:9/nothing") as job:
        wait_until(lambda: bool(stats(job).get("source_error")))
        assert job.status()["outcome"] is Outcome.RUNNING
