"""Pools of threads keep to what the user, the cgroup and the affinity mask say."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backends.onnxruntime import OnnxRuntimeBackend
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.io.ffmpeg.codecs import choose_encoder
from streamdenoise.io.open import open_source
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.sources.pyav import PyAVSource
from streamdenoise.jobs.job import limited_pools
from streamdenoise.threads import (
    VARIABLE,
    cgroup_cores,
    limited_threads,
    thread_limit,
    usable_cores,
)

pytestmark = pytest.mark.long

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
NEEDS_TWO = pytest.mark.skipif(CORES < 2, reason="one core is all there is")

# Runs a job and counts the threads that had something to do in it.
_PROBE = """
import os, sys, threading
if sys.argv[1] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.io.options import EncoderOptions
from streamdenoise.jobs.config import FileConfig
from streamdenoise.jobs.offline import denoise_file
tick = os.sysconf("SC_CLK_TCK")
seen = {}
def watch():
    while not done.wait(0.01):
        for thread in os.listdir("/proc/self/task"):
            try:
                stat = open(f"/proc/self/task/{thread}/stat").read()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            seen[thread] = (int(fields[11]) + int(fields[12])) / tick
done = threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
try:
    denoise_file(
        FileConfig(
            sys.argv[2],
            sys.argv[3],
            denoise=DenoiseConfig(threads=int(sys.argv[5]) or None),
            encoder=EncoderOptions(codec=sys.argv[4]),
            overwrite=True,
        )
    )
finally:
    done.set()
    watcher.join()
    seen.pop(str(watcher.native_id), None)
    print(sum(s >= 0.05 for s in seen.values()))
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough H.264 for each thread to have something to do."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(25):
            pixels = rng.integers(0, 256, (480, 640, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def busy_threads(clip: Path, codec: str, threads: int, cores: str = "all") -> int:
    out = clip.with_name(f"{codec}.mkv")
    run = subprocess.run(
        (sys.executable, "-c", _PROBE, cores, clip, out, codec, str(threads)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@NEEDS_TWO
@pytest.mark.timeout(150)
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_a_job_of_one_thread_has_one_in_each_pool(clip: Path) -> None:
    # One reads, one denoises, one writes and one waits; x265 has its one thread apart.
    assert busy_threads(clip, "x264", 1) <= 4
    assert busy_threads(clip, "x265", 1) <= 5
    assert busy_threads(clip, "x264", 0, "one core") <= 5
    # The control: pools of all cores.
    assert busy_threads(clip, "x264", 0) > 4


def test_engines_have_as_many_threads_as_they_may() -> None:
    artifact = open_artifact("nano")
    with limited_threads(1):
        loader = EngineLoader(artifact, backend="onnxruntime")
    with limited_threads(7):
        given = EngineLoader(artifact, backend="onnxruntime", threads=2)
    for each, threads in ((loader, 1), (given, 2)):
        with contextlib.closing(each.load(64, 64, 8)) as engine:
            assert isinstance(engine, OnnxRuntimeBackend)
            options = engine._session.get_session_options()
            assert options.intra_op_num_threads == threads
        each.close()


def test_opencv_keeps_within_the_limit_during_a_job() -> None:
    before = cv2.getNumThreads()
    with limited_pools(1):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before
    assert VARIABLE not in os.environ


def test_decoders_and_encoders_keep_within_the_limit(clip: Path) -> None:
    for codec in ("x264", "x265", "svtav1", "vp9", "ffv1"):
        config = EncoderConfig(codec)
        assert "threads" not in choose_encoder(config, None)[1]
        with limited_threads(3):
            options = choose_encoder(config, None)[1]
        assert options["threads"] == "3"
    with limited_threads(1), open_source(str(clip)) as source:
        assert isinstance(source, PyAVSource)
        assert source._stream.codec_context.thread_count == 1


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 2),
        ({"a/b/cpu.max": "50000 100000"}, 1),
        ({"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ({"unified/a/b/cpu.max": "200000 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/d/cpu.cfs_quota_us": "250000", "cpu/d/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu.max": "no number"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_cgroup_counts(
    tmp_path: Path, files: dict[str, str], cores: int | None
) -> None:
    for name, text in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    own = tmp_path / "cgroup"
    own.write_text("3:cpu,cpuacct:/d\n2:memory:/d\n0::/a/b\n")
    assert cgroup_cores(tmp_path / "sys", own) == cores
    assert cgroup_cores(tmp_path / "sys", tmp_path / "missing") is None


def test_the_limit_is_the_users_or_what_the_machine_gives() -> None:
    assert 1 <= usable_cores() <= CORES
    assert thread_limit() in (None, usable_cores())
    with limited_threads(5):
        assert thread_limit() == 5
        with limited_threads(None):
            assert thread_limit() == 5
        with limited_threads(2):
            assert thread_limit() == 2
        assert thread_limit() == 5
