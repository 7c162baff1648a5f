"""Continuous recording: which old files are deleted or renamed."""

from datetime import timedelta
from pathlib import Path

import pytest

from streamdenoise.io.recording.retention import Keep
from tests.io.recordings import (
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
from tests.support.waiting import wait_until


def test_nothing_is_deleted_without_a_limit(tmp_path: Path) -> None:
    for _ in range(2):
        sink = segment_sink(f"{tmp_path}/%H-%M-%S.mkv")
        record(sink, (frame(n) for n in range(25)), WallClock())
    assert len(files(tmp_path)) == 6


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


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov", ".ts"])
def test_segments_are_recognized_by_the_mark_in_them(
    tmp_path: Path, ending: str
) -> None:
    """They were dated by a clock that was a month ahead, and the index is lost."""
    clock = WallClock(START + timedelta(days=30))
    pattern = f"{tmp_path}/%m-%d/%H-%M-%S{ending}"
    theirs = tmp_path / f"05-07/23-59-59{ending}"
    make_old(theirs, -1e7)
    record(segment_sink(pattern, now=clock), (frame(n) for n in range(30)), clock)
    ahead = files(tmp_path)
    assert len(ahead) == 4
    (index,) = tmp_path.glob(".*")
    index.unlink()
    clock.moment = START
    sink = segment_sink(pattern, keep=Keep(max_bytes=1), now=clock)
    with sink:
        for number in range(15):
            sink.write(frame(number))
        wait_until(lambda: not set(ahead[1:]) & set(files(tmp_path)))
    assert theirs.exists()
    assert len(decode(tmp_path / f"05-07/23-59-00-n2{ending}")[0]) == 5


def test_a_failed_deletion_is_reported_once_and_recording_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "23-59-00.mkv":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)  # permissions do not stop root
    clock = WallClock()
    sink = segment_sink(f"{tmp_path}/%H-%M-%S.mkv", keep=Keep(max_bytes=1), now=clock)
    record(sink, (frame(n) for n in range(50)), clock)
    assert "23-59-00.mkv" in files(tmp_path)
    assert "23-59-01.mkv" not in files(tmp_path)
    assert caplog.messages == [
        f"{tmp_path}/23-59-00.mkv cannot be deleted: permission denied"
    ]
