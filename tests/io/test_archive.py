"""What a job deletes: only its own recordings, in the order in which it made them."""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdenoise.io.recording.archive import Archive
from streamdenoise.io.recording.disk import MountedFolder
from streamdenoise.io.recording.journal import Entry, Journal
from streamdenoise.io.recording.names import SegmentNames
from streamdenoise.io.recording.retention import Keep
from tests.io.recordings import START, files

HOUR_S, DAY_S, YEAR_S = 3600.0, 86400.0, 365 * 86400.0
SIZE = 1000
WEEK = Keep(max_age_s=7 * DAY_S)
FIVE = Keep(max_bytes=5 * SIZE)


class Machine:
    """A machine with a wall clock that can be set, and one that cannot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wall = START
        self.steady_s = 0.0
        self._open: list[Archive] = []

    def now(self) -> datetime:
        return self.wall

    def passes(self, seconds: float) -> None:
        """Let time pass; who records looks at the clock now and then."""
        while seconds > 0:
            step_s = min(seconds, HOUR_S)
            seconds -= step_s
            self.steady_s += step_s
            self.wall += timedelta(seconds=step_s)
            for archive in self._open:
                archive.watch()

    def start(
        self,
        keep: Keep,
        source: str = "camera:0",
        pattern: str = "%Y-%m-%d_%H-%M-%S.mkv",
        *,
        adopt: bool = False,
    ) -> Archive:
        names = SegmentNames(f"{self.folder}/{pattern}")
        archive = Archive(
            names,
            source=source,
            keep=keep,
            adopt=adopt,
            disk=MountedFolder(self.folder),
            now=self.now,
            steady=lambda: self.steady_s,
        )
        self._open.append(archive)
        return archive

    def stop(self) -> None:
        """End all jobs; what they did not complete stays as after a crash."""
        for archive in self._open:
            archive.close()
        self._open.clear()

    def record(self, archive: Archive, count: int = 1, every_s: float = 1.0) -> None:
        for _ in range(count):
            entry, partial, tags = archive.begin(self.wall)
            partial.path.write_bytes(tags["comment"].encode().ljust(SIZE, b"x"))
            partial.commit()
            self.passes(every_s)
            archive.complete(entry)
            archive.clean_up()

    def left(self) -> list[str]:
        return files(self.folder)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.stop()


def journals(folder: Path) -> list[Path]:
    return sorted(folder.glob(".streamdenoise-*"))


def at(*seconds: int) -> list[str]:
    """Names of recordings that began so long after the start."""
    moments = [START + timedelta(seconds=each) for each in seconds]
    return [f"{moment:%Y-%m-%d_%H-%M-%S}.mkv" for moment in moments]


def test_recordings_of_earlier_runs_are_deleted(machine: Machine) -> None:
    machine.record(machine.start(FIVE), 3)
    machine.stop()
    machine.record(machine.start(FIVE), 4)
    assert machine.left() == at(2, 3, 4, 5, 6)
    # And one hidden file lists them.
    assert len(journals(machine.folder)) == 1


def test_files_that_the_job_did_not_write_are_kept(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = ["2020-01-01_00-00-00.mkv", "2020-01-01_00-00-00-2.mkv", "movie.mkv"]
    for name in theirs:
        (machine.folder / name).write_bytes(bytes(10**6))
    machine.record(machine.start(Keep(max_bytes=1)), 3)
    assert machine.left() == sorted(theirs)
    (warning,) = caplog.messages
    assert "1 other files (1 MB) have names like those of this recording" in warning
    assert "add --adopt" in warning


@pytest.mark.parametrize("sources", [("rtsp://a", "rtsp://b"), ("same", "same")])
def test_two_jobs_with_the_same_names_delete_only_their_own(
    machine: Machine, sources: tuple[str, str]
) -> None:
    plenty = machine.start(Keep(max_bytes=100 * SIZE), sources[0])
    little = machine.start(Keep(max_bytes=2 * SIZE), sources[1])
    kept: set[str] = set()
    for _ in range(10):
        before = set(machine.left())
        machine.record(plenty, every_s=0)
        kept |= set(machine.left()) - before
        machine.record(little)
    assert kept < set(machine.left())
    assert len(machine.left()) == 10 + 2
    if sources[0] != sources[1]:
        machine.stop()
        machine.record(machine.start(Keep(max_bytes=1), sources[1]))
        assert set(machine.left()) == kept


def test_the_same_job_twice_is_one_job_after_a_restart(machine: Machine) -> None:
    first, second = machine.start(FIVE), machine.start(FIVE)
    for _ in range(3):
        machine.record(first)
        machine.record(second)
    machine.stop()
    assert len(journals(machine.folder)) == 2
    machine.record(machine.start(FIVE))
    assert len(machine.left()) == 5
    assert at(0)[0] not in machine.left()
    assert at(6)[0] in machine.left()
    assert len(journals(machine.folder)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(os.urandom(500)),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(path.read_bytes() + bytes(100)),
        lambda path: path.write_text('[1,"../../etc/passwd",0,0,1,null]\ntrue\n'),
        lambda path: path.write_text('[1,"a",1e999,NaN,1,null]\n[[]]\n{"a":1}\n'),
    ],
)
def test_a_lost_index_is_made_again_from_the_recordings(
    machine: Machine, damage: object
) -> None:
    (machine.folder / "2020-01-01_00-00-00.mkv").write_bytes(bytes(10**6))
    machine.record(machine.start(FIVE), 5)
    for number, name in enumerate(at(0, 1, 2, 3, 4)):
        # Neither the times of the files nor their order in the folder matter.
        os.utime(machine.folder / name, (2e9 - number, 2e9 - number))
    machine.stop()
    (journal,) = journals(machine.folder)
    damage(journal)  # pyright: ignore[reportCallIssue]
    machine.record(machine.start(FIVE), 2)
    assert machine.left() == ["2020-01-01_00-00-00.mkv", *at(2, 3, 4, 5, 6)]


def test_an_index_that_is_deleted_meanwhile_comes_back(machine: Machine) -> None:
    archive = machine.start(FIVE)
    machine.record(archive, 2)
    journals(machine.folder)[0].unlink()
    machine.record(archive)
    machine.stop()
    machine.record(machine.start(Keep(max_bytes=SIZE)))
    assert machine.left() == at(3)


@pytest.mark.parametrize("ahead_s", [1, HOUR_S, 30 * DAY_S, 365 * DAY_S])
def test_new_recordings_survive_when_a_clock_that_was_ahead_is_put_right(
    machine: Machine, ahead_s: float
) -> None:
    machine.wall += timedelta(seconds=ahead_s)
    archive = machine.start(FIVE)
    machine.record(archive, 5)
    machine.wall = START
    machine.record(archive, 3)
    machine.stop()
    machine.record(machine.start(FIVE), 2)
    assert machine.left() == at(0, 1, 2, 3, 4)


def step_names() -> list[str]:
    return [
        f"{sign}{name}" for name in ("1s", "1h", "31d", "366d", "50y") for sign in "+-"
    ]


@pytest.mark.parametrize("step", step_names())
def test_no_step_of_the_clock_makes_recordings_old(machine: Machine, step: str) -> None:
    unit = {"s": 1, "h": HOUR_S, "d": DAY_S, "y": YEAR_S}[step[-1]]
    archive = machine.start(WEEK)
    machine.record(archive, 5, every_s=DAY_S)
    machine.wall += timedelta(seconds=float(step[:-1]) * unit)
    machine.record(archive, 10, every_s=HOUR_S)
    assert len(machine.left()) == 15
    # They get old when their time has come.
    machine.record(archive, 1, every_s=4 * DAY_S)
    assert len(machine.left()) == 15 + 1 - 2


def test_a_clock_that_is_ahead_at_the_start_deletes_a_tenth_per_hour(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.record(machine.start(WEEK), 100, every_s=60)
    machine.stop()
    machine.wall += timedelta(days=30)
    archive = machine.start(WEEK)
    machine.record(archive)
    assert len(machine.left()) == 101
    assert "100 of 101 recordings are suddenly older than --keep allows" in caplog.text
    machine.passes(HOUR_S)
    archive.clean_up()
    machine.record(archive)
    assert len(machine.left()) == 101 + 1 - 10
    # Once it is put right, none is old any more.
    machine.wall -= timedelta(days=30)
    for _ in range(5):
        machine.passes(HOUR_S)
        archive.clean_up()
    assert len(machine.left()) == 92
    assert len(caplog.messages) == 1


def test_after_a_break_old_recordings_are_deleted_little_by_little(
    machine: Machine,
) -> None:
    machine.record(machine.start(WEEK), 20)
    machine.stop()
    machine.passes(8 * DAY_S)
    archive = machine.start(WEEK)
    for _ in range(24):
        machine.record(archive, every_s=HOUR_S)
    assert len(machine.left()) == 24


def test_many_restarts_with_a_wrong_clock_delete_nothing(machine: Machine) -> None:
    machine.record(machine.start(WEEK), 20)
    machine.stop()
    machine.wall += timedelta(days=30)
    for _ in range(30):
        machine.record(machine.start(WEEK), every_s=0.5)
        machine.stop()
        machine.passes(10)
    assert len(machine.left()) == 50


def test_a_smaller_limit_applies_at_once(machine: Machine) -> None:
    machine.record(machine.start(WEEK), 6, every_s=DAY_S)
    machine.stop()
    machine.record(machine.start(Keep(max_age_s=2.5 * DAY_S)))
    assert len(machine.left()) == 1 + 3


def test_recordings_that_were_renamed_or_replaced_are_kept(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.record(machine.start(FIVE), 4)
    machine.stop()
    first, second, third, _ = (machine.folder / name for name in at(0, 1, 2, 3))
    first.rename(machine.folder / "wedding.mkv")
    second.write_bytes(second.read_bytes()[:-1])  # cut; the mark is still in it
    third.unlink()
    third.symlink_to(machine.folder / "wedding.mkv")
    machine.record(machine.start(Keep(max_bytes=SIZE)), 2)
    assert machine.left() == sorted(["wedding.mkv", second.name, third.name, *at(5)])
    assert caplog.text.count("is kept: another program has replaced it") == 2


def test_an_index_cannot_make_the_job_delete_files_elsewhere(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Others may write to the folder, and would use the rights of the job."""
    theirs = tmp_path_factory.mktemp("elsewhere") / "precious.mkv"
    theirs.write_bytes(b"precious")
    begun = theirs.with_name("begun.part.mkv")
    begun.write_bytes(b"not a video")
    archive = machine.start(FIVE)
    machine.record(archive, 1)
    machine.stop()
    (machine.folder / "link").symlink_to(theirs.parent)
    status = theirs.stat()
    with journals(machine.folder)[0].open("a") as journal:
        for line in (
            ["link/precious.mkv", 0.0, 0.0, status.st_size, status.st_mtime_ns],
            [str(theirs), 0.0, 0.0, status.st_size, status.st_mtime_ns],
            ["link/begun.mkv", 0.0, 0.0, None, None],
        ):
            journal.write(json.dumps([-1, *line]) + "\n")
    machine.record(machine.start(Keep(max_bytes=1)))
    assert machine.left() == []
    assert theirs.exists()
    assert begun.exists()


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
LINES = VALUES | st.lists(VALUES, min_size=6, max_size=6)


@settings(max_examples=30, deadline=None)
@given(
    st.binary(max_size=50)
    | st.lists(LINES, max_size=4).map(
        lambda lines: "".join(f"{json.dumps(each)}\n" for each in lines).encode()
    )
)
def test_any_index_can_be_read(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f".streamdenoise-{'0' * 16}.journal"
        path.write_bytes(data)
        first = Journal(Path(folder), "0" * 16)
        entry = Entry(first.next_number(), "new.mkv", 0.0, 0.0, 1)
        first.put(entry)
        first.close()
        again = Journal(Path(folder), "0" * 16)
        again.close()
        assert again.entries == first.entries
        assert list(again.entries)[-1] == "new.mkv"
        for name in again.entries:
            assert Path(folder) in (Path(folder) / name).parents


def test_a_copy_is_not_taken_for_a_recording_when_the_index_is_lost(
    machine: Machine,
) -> None:
    machine.record(machine.start(FIVE), 2)
    machine.stop()
    copy = machine.folder / "2030-01-01_00-00-00.mkv"
    copy.write_bytes((machine.folder / at(0)[0]).read_bytes())
    journals(machine.folder)[0].unlink()
    machine.record(machine.start(Keep(max_bytes=1)))
    assert machine.left() == [copy.name]


def test_earlier_recordings_are_adopted_on_request(machine: Machine) -> None:
    """The oldest first; a time in the future comes from a wrong clock."""
    now_s = START.timestamp()
    for day, age_s in ((3, -1e7), (1, 3e6), (2, 2e6)):
        path = machine.folder / f"2020-01-0{day}_00-00-00.mkv"
        path.write_bytes(bytes(SIZE))
        os.utime(path, (now_s - age_s, now_s - age_s))
    (machine.folder / "2020-01-01.mkv").write_bytes(bytes(SIZE))
    other = machine.start(FIVE, "rtsp://ended")
    machine.record(other, 2)
    machine.stop()
    running = machine.start(FIVE, "rtsp://running")
    machine.record(running, 2)
    machine.record(machine.start(FIVE, adopt=True), 2)
    assert machine.left() == [
        *("2020-01-01.mkv", "2020-01-02_00-00-00.mkv"),
        *at(0, 1, 2, 3, 4, 5),
    ]
    changed = machine.folder / "2020-01-02_00-00-00.mkv"
    changed.write_bytes(b"cut by hand")
    machine.stop()
    machine.record(machine.start(Keep(max_bytes=1)))
    assert machine.left() == ["2020-01-01.mkv", changed.name, *at(2, 3)]


def test_nothing_is_adopted_from_a_job_that_runs(machine: Machine) -> None:
    machine.record(machine.start(FIVE, "rtsp://running"), 3)
    machine.record(machine.start(Keep(max_bytes=1), "mine", adopt=True))
    assert machine.left() == at(0, 1, 2)


def test_names_are_unique_even_if_many_jobs_take_them_at_once(machine: Machine) -> None:
    jobs = [machine.start(WEEK, f"camera:{n}") for n in range(5)]
    begun = [job.begin(machine.wall) for job in jobs]
    assert len({partial.target for _, partial, _ in begun}) == 5
    assert all(partial.is_first for _, partial, _ in begun)
    for _, partial, _ in begun:
        partial.discard()


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_name_that_another_job_was_faster_to_take_is_left_to_it(
    machine: Machine, has_begun: bool
) -> None:
    """A crash came between the entry of a recording and its file."""
    machine.record(machine.start(FIVE, "slow"))
    machine.stop()
    (index,) = journals(machine.folder)
    _, partial, tags = machine.start(FIVE, "fast").begin(machine.wall)
    if has_begun:
        partial.path.write_bytes(tags["comment"].encode())
    with index.open("a") as lines:
        lines.write(json.dumps([2, partial.target.name, 1.0, 1.0, None, None]) + "\n")
    machine.record(machine.start(FIVE, "slow"))
    assert partial.path.exists()
    assert not partial.target.exists()


def test_the_index_stays_small(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "0" * 16)
    journal.note_whole()
    for number in range(600):
        entry = Entry(number, f"{number}.mkv", 0.0, 0.0)
        journal.put(entry)
        journal.put(replace(entry, size_bytes=1))
        if number % 10:
            journal.drop(entry)
    size = journals(tmp_path)[0].stat().st_size
    journal.sync()
    assert journals(tmp_path)[0].stat().st_size < size / 10
    other = Journal(tmp_path, "0" * 16)
    assert len(journals(tmp_path)) == 2  # the first one is locked still
    other.close()
    journal.close()
    again = Journal(tmp_path, "0" * 16)
    again.close()
    assert again.is_whole
    assert list(again.entries.values()) == [
        Entry(number, f"{number}.mkv", 0.0, 0.0, 1) for number in range(0, 600, 10)
    ]


def test_without_recordings_no_index_is_left(machine: Machine) -> None:
    machine.start(FIVE)
    machine.stop()
    assert journals(machine.folder) == []
