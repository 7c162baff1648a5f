"""A disk that hangs is noticed, delays no other output, and does not prevent a stop."""

import signal
import time
from pathlib import Path

import av
import pytest

from tests.cli.test_live_cli import Job
from tests.support.disks import LoopDisk

# The limit is 10 s, and the machine may be busy.
pytestmark = pytest.mark.timeout(120)


def count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_disk_that_hangs_is_reported_and_costs_its_output_alone(tmp_path: Path):
    with (
        LoopDisk(tmp_path) as disk,
        Job(
            tmp_path,
            *("testsrc:64x48@15", "-o", "disk/%H%M%S.mkv", "--segment", "5"),
            *("-o", "whole.mkv"),
        ) as job,
    ):
        job.wait(lambda: job.has_frames(45))
        assert job.page("healthz") == "ok\n"
        disk.freeze()
        try:
            job.wait(lambda: job.stats["outputs"][0]["hangs"])
            assert "disk/%H%M%S.mkv: no progress for 1" in job.page("healthz")
            metrics = job.page("metrics")
            assert "streamdenoise_healthy 0.0" in metrics
            assert 'output_up{output="disk/%H%M%S.mkv"} 0.0' in metrics
            assert 'output_up{output="whole.mkv"} 1.0' in metrics
            written = job.stats["outputs"][1]["frames"]
            began = time.monotonic()
            job.process.send_signal(signal.SIGTERM)
            assert job.process.wait(30) == 1
            assert time.monotonic() - began < 10
            assert count(tmp_path / "whole.mkv") >= written
            last = job.log.splitlines()[-1]
            assert last.startswith("error: disk/%H%M%S.mkv was not finished: no progr")
        finally:
            disk.thaw()
        frames = sum(count(path) for path in disk.path.glob("*.mkv"))
        assert frames >= 45 - 30  # all but what the encoder and a cluster held
