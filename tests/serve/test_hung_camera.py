"""Cameras that hang or leak: only the end of their process helps."""

import os
import resource
from pathlib import Path

import pytest

from streamdenoise.serve.states import CameraStatus
from tests.serve.running import SMALL, Running
from tests.support.disks import LoopDisk

# What hangs is given 10 s, and the machine may be busy.
pytestmark = pytest.mark.timeout(150)


def test_a_hung_disk_costs_the_others_one_restart(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with LoopDisk(tmp_path) as disk:
        text = f"""
[workers]
count = 1
[defaults]
source = "{SMALL}"
model = "pico"
[cameras.a]
output = "{disk.path}/%H-%M-%S.mkv"
segment = "5s"
[cameras.b]
output = "{tmp_path}/b/%H-%M-%S.mkv"
segment = "5s"
"""
        with Running(text) as running:
            a, b = running.wait_live("a", "b")
            assert a.worker == b.worker
            running.wait("a", lambda state: state.frames_out > 20)
            disk.freeze()
            try:
                new = running.wait("b", lambda state: state.worker not in (0, b.worker))
                assert new.restarts == 1
                running.wait_live("b")
                (event,) = [
                    each
                    for each in running.call(running.cameras.events, "b")
                    if each.kind == "worker"
                ]
                assert "camera a hangs: " in event.text
                # The one to blame tries again in a worker of its own.
                other = running.wait("a", lambda state: state.worker != 0)
                assert other.worker != new.worker
            finally:
                disk.thaw()
            running.wait_live("a")
            assert running.state("b").restarts == 1


def test_a_worker_that_takes_too_much_memory_is_replaced() -> None:
    text = f'[workers]\nmemory = "150MB"\n[cameras.a]\nsource = "{SMALL}"\n'
    with Running(text) as running:
        running.wait("a", lambda state: state.restarts > 0)
        state = running.wait("a", lambda state: state.status is CameraStatus.FAILED)
        assert "MB of memory, more than 150 MB" in state.reason


def test_a_service_with_many_open_files_still_starts_workers() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    held: list[int] = []
    try:
        while not held or held[-1] < 1100:
            held.append(os.open(os.devnull, os.O_RDONLY))
        text = f'[cameras.a]\nsource = "{SMALL}"\nmodel = "pico"\n'
        with Running(text) as running:
            running.wait_live("a")
            assert running.state("a").restarts == 0
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
