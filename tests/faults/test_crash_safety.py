"""Recordings whose process is killed at any moment are playable up to that moment."""

import logging
import os
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.error
import pytest

from streamdenoise.frame import StreamInfo
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink
from streamdenoise.io.sinks import disk_sync
from streamdenoise.io.sinks.disk_sync import DiskSync
from streamdenoise.io.sinks.file import FileSink
from tests.io.recordings import decode
from tests.support.frames import make_frame, noise_frame
from tests.support.skips import skip_or_fail

KILLS = 50
RATE = 30

# Frames that x264 holds back with the preset `veryfast`: look-ahead and B-frames.
HELD_BACK = 11

B_FRAMES = 3

# Frames wait 0.3 s for the end of their fragment or cluster, which ends with a group of
# B-frames; one more ends the block, and one is being written.
LOST_AT_MOST = HELD_BACK + B_FRAMES + RATE * 3 // 10 + B_FRAMES + 2
assert LOST_AT_MOST < RATE  # less than a second

SEGMENT_FRAMES = 40

# Each recording is a separate process, forked from one that has imported everything.
# It reports the number of frames that each sink has taken in shared memory, and is
# killed a random time after it has written a random number of frames.
RECORDER = """
import mmap, os, random, signal, struct, sys, time
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
import av
import numpy as np
from streamdenoise.io.options import EncoderConfig
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.io.sinks.file import FileSink
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink

folder, kills, rate, segment_frames = Path(sys.argv[1]), *map(int, sys.argv[2:])
encoder = EncoderConfig("x264", preset="veryfast")
info = StreamInfo(64, 48, "yuv420p", Fraction(rate), Fraction(1, rate), is_live=True)
chroma = np.full((24, 32), 128, np.uint8)
gradient = np.add.outer(np.arange(48), np.arange(64))
lumas = [((gradient + 3 * n) % 200 + 20).astype(np.uint8) for n in range(200)]

def frame(n):
    planes = (lumas[n % 200], chroma, chroma)
    return Frame(planes, "yuv420p", ColorInfo(), n, Fraction(1, rate), n, 0.0)

def record(here, number, written):
    # One store: `struct.pack_into` clears the number first, and may be killed then.
    counter = memoryview(written).cast("q")
    moment = [datetime(2031, 5, 7)]
    ending = ("mkv", "mp4", "ts", "mov")[number % 4]
    sinks = [
        FileSink(here / "out.mkv", info, encoder=encoder),
        FileSink(here / "out.mp4", info, encoder=encoder),
        SegmentSink(
            f"{here}/segments/%H-%M-%S-%f.{ending}",
            info,
            segment_s=segment_frames / rate,
            keep=Keep(),
            encoder=encoder,
            now=lambda: moment[0],
        ),
    ]
    for n in range(100_000):
        moment[0] = datetime(2031, 5, 7) + timedelta(seconds=n / rate)
        for sink in sinks:
            sink.write(frame(n))
        counter[0] = n + 1

rng = random.Random(20310507)
for number in range(kills):
    here = folder / str(number)
    here.mkdir()
    written = mmap.mmap(-1, 8)
    limit, pause_s = rng.randint(30, 180), rng.uniform(0, 3e-3)
    child = os.fork()
    if child == 0:
        record(here, number, written)
        os._exit(1)
    while struct.unpack_from("q", written)[0] < limit:
        if os.waitpid(child, os.WNOHANG)[0]:
            sys.exit(f"recording {number} ended by itself")
        time.sleep(2e-4)
    time.sleep(pause_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (here / "written").write_bytes(written[:])
"""


def count(path: Path) -> int:
    """Number of frames in a file, which must be intact except for the last packet."""
    times: list[float] = []
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))
        for place, packet in enumerate(packets):
            try:
                times += [float(frame.time) for frame in packet.decode()]
            except av.error.InvalidDataError:
                assert place >= len(packets) - 2, f"{path} is damaged in the middle"
    steps = [round((b - a) * RATE) for a, b in pairwise(times)]
    # A frame is stored before the B-frames that are shown before it.
    assert set(steps[:-B_FRAMES]) <= {1}, f"{path} has a hole"
    return len(times)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, int]]:
    """Folders of killed recordings, and the number of frames written to each."""
    if not hasattr(os, "fork"):
        skip_or_fail("fork", "processes cannot be forked here")
    folder = tmp_path_factory.mktemp("killed")
    numbers = map(str, (KILLS, RATE, SEGMENT_FRAMES))
    done = subprocess.run(
        [sys.executable, "-c", RECORDER, str(folder), *numbers],
        check=False,
        timeout=55,
    )
    assert done.returncode == 0
    return [
        (here, struct.unpack("q", (here / "written").read_bytes())[0])
        for here in sorted(folder.iterdir())
    ]


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_killed_at_50_moments(killed: list[tuple[Path, int]], ending: str) -> None:
    lost = [written - count(here / f"out.part.{ending}") for here, written in killed]
    assert len(lost) == KILLS
    print(f"{ending}: lost {min(lost)} to {max(lost)} frames of {RATE} a second")
    assert max(lost) <= LOST_AT_MOST


def test_segments_killed_at_50_moments(killed: list[tuple[Path, int]]) -> None:
    """Only the current segment, and the one being finished, are incomplete."""
    moments, lost, finishing = 0, [], 0
    for here, written in killed:
        names = sorted((here / "segments").glob("[!.]*"))
        partial = [each for each in names if ".part" in each.name]
        whole = [each for each in names if each not in partial]
        assert [count(each) for each in whole] == [SEGMENT_FRAMES] * len(whole)
        assert names == whole + partial
        begun = len(names) - 1
        assert begun == (written - 1) // SEGMENT_FRAMES or (
            # Killed between the beginning of a segment and the report.
            begun == written // SEGMENT_FRAMES
        )
        assert 1 <= len(partial) <= 2
        current = written - begun * SEGMENT_FRAMES
        # A file that was just begun may be empty.
        lost.append(current - _count_if_begun(partial[-1], current))
        if len(partial) == 2:
            finishing += 1
            lost.append(SEGMENT_FRAMES - count(partial[0]))
        moments += 1
    assert moments == KILLS
    print(
        f"segments: lost {min(lost)} to {max(lost)} frames a file; "
        f"{finishing} of {moments} killed while one was being finished"
    )
    assert max(lost) <= LOST_AT_MOST


def test_the_next_run_completes_what_has_frames_and_removes_the_rest(
    killed: list[tuple[Path, int]],
) -> None:
    """Also if the process was killed just after a segment was begun."""
    removed = 0
    for number, (here, _) in enumerate(killed):
        folder = here / "segments"
        before = {each: count_if_any(each) for each in folder.glob("[!.]*")}
        if number % 2:  # without the index, as after a crash of the file system
            (index,) = folder.glob(".*")
            index.unlink()
        ending = next(iter(before)).suffix
        info = StreamInfo(64, 48, "yuv420p", Fraction(RATE), is_live=True)
        sink = SegmentSink(
            f"{folder}/%H-%M-%S-%f{ending}", info, segment_s=60, keep=Keep()
        )
        with sink:
            sink.write(make_frame(0, width=64, height=48, time_base=Fraction(1, RATE)))
        after = {each: count_if_any(each) for each in folder.glob("[!.]*")}
        stumps = {each for each in after if ".part" in each.name}
        assert stumps == {each for each in after if after[each] == 0}
        # Nothing was written yet that says whose they are.
        assert not stumps or number % 2
        assert sum(after.values()) == sum(before.values()) + 1
        removed += len(before) + 1 - len(after)
    print(f"{removed} files without a frame")
    assert removed > 0


def count_if_any(path: Path) -> int:
    """Number of frames in a file that may have none at all."""
    try:
        return count(path)
    except (av.error.InvalidDataError, av.error.EOFError, IndexError):
        return 0


def _count_if_begun(path: Path, frames: int) -> int:
    return count(path) if frames > LOST_AT_MOST else 0


def most_lost(path: Path, codec: str, rate: int) -> int:
    """Most frames that a kill would cost: what was written, without what is there."""
    info = StreamInfo(64, 48, "yuv420p", Fraction(rate), Fraction(1, rate))
    lost = []
    with FileSink(path, info, encoder=EncoderConfig(codec)) as sink:
        for number in range(8 * rate):
            sink.write(noise_frame(number, time_base=info.time_base))
            if number > 6 * rate and number % 5 == 0:
                lost.append(number + 1 - len(decode(sink.partial_path)[0]))
    return max(lost)


@pytest.mark.parametrize("rate", [15, 25])
@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts"])
def test_a_killed_file_lacks_two_seconds_at_most(
    tmp_path: Path, ending: str, rate: int
) -> None:
    """With the default encoder: a killed process leaves what its files hold."""
    assert most_lost(tmp_path / f"out.{ending}", "x264", rate) <= 2 * rate


def test_a_killed_file_of_hevc_lacks_two_seconds_at_most(tmp_path: Path) -> None:
    assert most_lost(tmp_path / "out.mkv", "x265", 15) <= 2 * 15


def test_a_killed_file_of_av1_lacks_50_frames_and_a_cluster(tmp_path: Path) -> None:
    assert most_lost(tmp_path / "out.mkv", "svtav1", 15) <= 50 + 15 * 3 // 10


def test_recordings_are_synced_to_disk_repeatedly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.mkv"
    path.touch()
    synced: list[tuple[int, str]] = []
    thrice = threading.Event()
    real = os.fsync

    def sync(fd: int) -> None:
        real(fd)
        synced.append((os.fstat(fd).st_size, threading.current_thread().name))
        if len(synced) == 3:
            thrice.set()

    monkeypatch.setattr(disk_sync, "_sync", sync)
    keeper = DiskSync(path, interval_s=0.01)
    assert thrice.wait(30)
    path.write_bytes(b"the last words")
    keeper.close()
    assert synced[-1] == (14, "sync out.mkv")
    assert threading.current_thread().name not in {name for _, name in synced}


def test_a_failed_sync_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out.mkv").touch()

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk_sync, "_sync", fail)
    with caplog.at_level(logging.WARNING):
        DiskSync(tmp_path / "out.mkv", 2.0).close(timeout_s=30)
    (message,) = caplog.messages
    assert message.endswith("may not survive a power cut: input/output error")


def test_a_hanging_disk_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.mkv").touch()
    answers = threading.Event()
    monkeypatch.setattr(disk_sync, "_sync", lambda fd: answers.wait(30))
    keeper = DiskSync(tmp_path / "out.mkv", 2.0)
    keeper.close(timeout_s=0.01)
    assert not answers.is_set()
    answers.set()
