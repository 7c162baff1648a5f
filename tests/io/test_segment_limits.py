"""Continuous recording: which old files are deleted or renamed."""

from datetime import timedelta
from pathlib import Path

import pytest

from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.sinks.file import FileSink
from tests.io.recordings import (
    FAST,
    INFO,
    NOISE_INFO,
    RATE,
    START,
    WallClock,
    decode,
    files,
    frame,
    make_old,
    noise,
    record,
    segment_sink,
    sizes_of,
)


def test_only_old_recordings_are_deleted_at_a_switch(tmp_path: Path) -> None:
    day = 86_400
    make_old(tmp_path / "2020-01-01/10-00-00.mkv", 9 * day)
    make_old(tmp_path / "2020-01-02/10-00-00-2.mkv", 8 * day)
    make_old(tmp_path / "2020-01-02/11-00-00.part.mkv", 8 * day)
    make_old(tmp_path / "2020-01-03/10-00-00.mkv", 6 * day)
    others = ("2020-01-02/notes.txt", "2020-01-02/10-00.mkv", "movie.mkv", "x/1.mkv")
    for name in others:
        make_old(tmp_path / name, 100 * day)
    sink = segment_sink(f"{tmp_path}/%Y-%m-%d/%H-%M-%S.mkv", keep=Keep.parse(["7d"]))
    record(sink, (frame(n) for n in range(30)), WallClock())
    left = files(tmp_path)
    new = [name for name in left if not name.startswith("2020-") and "/" in name]
    assert sorted(set(left) - set(new)) == sorted(
        ["2020-01-03/10-00-00.mkv", *others[:3]]
    )
    assert len([name for name in new if name != others[3]]) == 3
    assert not (tmp_path / "2020-01-01").exists()


def test_nothing_is_deleted_without_a_limit(tmp_path: Path) -> None:
    make_old(tmp_path / "10-00-00.mkv", 1e8)
    sink = segment_sink(f"{tmp_path}/%H-%M-%S.mkv")
    record(sink, (frame(n) for n in range(25)), WallClock())
    assert "10-00-00.mkv" in files(tmp_path)


def test_the_size_limit_holds_while_recording(tmp_path: Path) -> None:
    clock = WallClock()
    sink = segment_sink(
        f"{tmp_path}/%H-%M-%S.mkv", keep=Keep.parse(["1MB"]), now=clock, info=NOISE_INFO
    )
    largest = total = 0
    with sink:
        for index in range(60):
            clock.moment = START + timedelta(seconds=index / RATE)
            sink.write(noise(index))
            sizes = list(sizes_of(tmp_path))
            largest, total = max(largest, *sizes), max(total, sum(sizes))
    assert 3 * largest > 1_000_000  # else nothing had to be deleted
    # On top: the growth since the last switch, and the segment before that.
    assert total < 1_000_000 + 2 * largest + 100_000
    assert f"{START + timedelta(seconds=5):%H-%M-%S}.mkv" in files(tmp_path)
    assert f"{START:%H-%M-%S}.mkv" not in files(tmp_path)


def test_segments_of_another_running_job_are_kept(tmp_path: Path) -> None:
    make_old(tmp_path / "01-00-00.mkv", 60)
    theirs = tmp_path / "02-00-00.part.mkv"
    theirs.write_bytes(bytes(1000))
    sink = segment_sink(f"{tmp_path}/%H-%M-%S.mkv", keep=Keep(max_bytes=1))
    with sink:
        for index in range(50):
            sink.write(frame(index))
    assert theirs.exists()
    assert not (tmp_path / "01-00-00.mkv").exists()


def test_a_failed_deletion_is_reported_once_and_recording_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(tmp_path / "01-00-00.mkv", 5e6)
    make_old(tmp_path / "02-00-00.mkv", 4e6)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "01-00-00.mkv":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)  # permissions do not stop root
    sink = segment_sink(f"{tmp_path}/%H-%M-%S.mkv", keep=Keep(max_age_s=1e6))
    record(sink, (frame(n) for n in range(50)), WallClock())
    assert "01-00-00.mkv" in files(tmp_path)
    assert "02-00-00.mkv" not in files(tmp_path)
    warnings = [each.message for each in caplog.records if "deleted" in each.message]
    assert warnings == [f"{tmp_path}/01-00-00.mkv cannot be deleted: permission denied"]


def test_files_left_by_a_crash_get_their_final_names(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    with FileSink(source, INFO, encoder=FAST) as whole:
        for index in range(5):
            whole.write(frame(index))
    kept = source.read_bytes()
    source.unlink()
    for name in ("01-00-00.part.mkv", "02-00-00.part.mkv", "02-00-00.part2.mkv"):
        make_old(tmp_path / name, 60, content=kept)
    make_old(tmp_path / "03-00-00.part.mkv", 60, content=b"")
    (tmp_path / "02-00-00.mkv").write_bytes(b"taken")
    (tmp_path / "04-00-00.part.mkv").write_bytes(b"another one writes it now")
    make_old(tmp_path / "holiday.part.mkv", 60)
    expected = {
        "01-00-00.mkv",
        "02-00-00.mkv",
        "02-00-00-2.mkv",
        "02-00-00-3.mkv",
        "04-00-00.part.mkv",
        "holiday.part.mkv",
    }
    sink = segment_sink(f"{tmp_path}/%H-%M-%S.mkv", segment_s=600)
    record(sink, (frame(n) for n in range(3)), WallClock())
    names = set(files(tmp_path))
    assert names > expected
    (new,) = names - expected
    assert decode(tmp_path / new)[0] == [0, 1, 2]
    assert decode(tmp_path / "01-00-00.mkv")[0] == list(range(5))
    assert (tmp_path / "02-00-00.mkv").read_bytes() == b"taken"
