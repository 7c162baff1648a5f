"""Recordings while the wall clock is set, by libfaketime, in a process of their own."""

import json
from pathlib import Path

import pytest

from streamdenoise.io.recording.mark import Mark
from tests.io.recordings import RATE, decode, files
from tests.support.command import python
from tests.support.fake_clock import FakeClock

STEPS = ("+1", "-1", "+1h", "-1h", "+31d", "-31d", "+1y", "-1y", "+50y", "-50y", "+0")

# Two and a half segments after each step; the process that is started again by a clock
# that is a month ahead records a few more.
RECORDER = """
import json, os, sys, time
from tests.io.recordings import frame, segment_sink
from streamdenoise.io.recording.retention import Keep

folder, clock, steps = sys.argv[1], sys.argv[2], sys.argv[3].split()

def set_clock(offset):
    with open(clock + ".new", "w") as file:
        file.write(offset)
    os.replace(clock + ".new", clock)

numbers, times = iter(range(10_000)), []
for part in steps, ["+31d"]:
    set_clock(part[0])
    keep = Keep.parse(["7d", "1GB"])
    with segment_sink(f"{folder}/%Y-%m-%d_%H-%M-%S.mkv", keep=keep) as sink:
        for step in part:
            set_clock(step)
            times.append(time.time())
            for _ in range(25):
                sink.write(frame(next(numbers)))
print(json.dumps(times))
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], str]:
    """The folder, the time after each step as the process saw it, and its log."""
    folder = tmp_path_factory.mktemp("steps")
    clock = FakeClock(tmp_path_factory.mktemp("clock") / "clock")
    done = python(
        RECORDER,
        folder,
        clock.file,
        " ".join(STEPS),
        cwd=None,
        **clock.environment,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), done.stderr


def test_the_clock_was_set(recorded: tuple[Path, list[float], str]) -> None:
    _, times, _ = recorded
    year_s = 365 * 86400
    assert max(times) - min(times) > 99 * year_s


def test_no_frame_is_lost_and_none_is_deleted_as_too_old(
    recorded: tuple[Path, list[float], str],
) -> None:
    folder, times, log = recorded
    assert ".part" not in " ".join(files(folder))
    marks = {path: Mark.read(path) for path in folder.glob("*.mkv")}
    in_order = sorted(
        marks, key=lambda path: mark.number if (mark := marks[path]) else 0
    )
    numbers = [number for path in in_order for number in decode(path)[0]]
    expected = 25 * len(times)
    assert numbers == [number % 200 for number in range(expected)]
    assert len(in_order) == -(-25 * len(STEPS) // RATE) + 3
    # The clock says of all but those of the second run that they are too old.
    assert "recordings are suddenly older than --keep allows" in log
