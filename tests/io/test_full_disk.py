"""Recording on a disk that fills up."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.errors import SinkError
from streamdenoise.frame import StreamInfo
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.options import EncoderConfig, Reconnect
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording import segments
from streamdenoise.io.recording.journal import Entry, Journal
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.sinks import file
from streamdenoise.io.sinks.file import FileSink
from streamdenoise.io.sinks.retrying import RetryingSink
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
    write_all,
)
from tests.support.disks import small_disk
from tests.support.waiting import wait_until


@pytest.fixture(name="small_disk")
def disk_of_2_mb(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts"])
def test_the_oldest_recordings_make_room_on_a_full_disk(
    small_disk: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Records about 6 MB in segments of 0.35 MB to a disk of 2 MB."""
    clock = WallClock()
    (small_disk / f"diary{ending}").write_bytes(b"not a recording")
    sink = segment_sink(
        f"{small_disk}/%H-%M-%S{ending}",
        keep=Keep.parse(["1TB"]),
        now=clock,
        info=NOISE_INFO,
    )
    record(sink, (noise(n) for n in range(180)), clock)
    names = files(small_disk)
    names.remove(f"diary{ending}")
    assert f"23-59-17{ending}" in names
    assert f"23-59-00{ending}" not in names
    # Space was freed before it was needed: no frame is missing.
    assert len(names) >= 3
    assert {len(decode(small_disk / name)[0]) for name in names} == {10}
    assert caplog.records == []


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts"])
def test_a_full_disk_without_limits_is_an_error(small_disk: Path, ending: str) -> None:
    clock = WallClock()
    sink = segment_sink(
        f"{small_disk}/%H-%M-%S{ending}", segment_s=600, now=clock, info=NOISE_INFO
    )
    with sink:
        number = fill(sink)
        (name,) = files(small_disk)
        assert name == f"23-59-00{ending}"
        # Two fragments and the frame itself may be missing.
        numbers, _, _ = decode(small_disk / name)
        assert number - 12 <= len(numbers) <= number
        # Retrying does not leave empty files behind.
        for again in range(number + 1, number + 4):
            with pytest.raises(SinkError, match="the disk is full"):
                write_all(sink, range(again * 10, again * 10 + 10))
        assert len(files(small_disk)) <= 4
        for other in files(small_disk):
            assert decode(small_disk / other)[0]
        (small_disk / name).unlink()  # someone frees space
        clock.moment += timedelta(hours=1)
        write_all(sink, range(5000, 5010))
    assert len(decode(small_disk / f"00-59-00{ending}")[0]) == 10


def test_a_recording_is_back_only_after_frames_have_reached_the_disk(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Files can be created on a full disk, and encoders hold the first frames back."""
    monkeypatch.setattr(file, "SYNC_INTERVAL_S", 0.01)
    sink = RetryingSink(
        lambda _: segment_sink(
            f"{small_disk}/%H-%M-%S.mkv",
            segment_s=600,
            info=NOISE_INFO,
            encoder=EncoderConfig("x264", crf=10),  # with look-ahead
        ),
        "clips",
        reconnect=Reconnect(),
        must_recover=True,
        backoff=Backoff(0.01, 0.02),
    )
    theirs = small_disk / "theirs"
    theirs.write_bytes(b"x" * 1_200_000)
    number = 0

    def write(until: Callable[[], bool]) -> None:
        nonlocal number
        deadline = time.monotonic() + 30
        while not until():
            assert time.monotonic() < deadline
            sink.write(noise(number))
            number += 1

    write(lambda: bool(sink.error))
    grow_until_full(theirs)
    lost = number
    write(lambda: number == lost + 150)
    assert "the disk is full" in sink.error
    assert sink.reconnects == 0
    assert not any("is back" in message for message in caplog.messages)
    theirs.unlink()
    write(lambda: not sink.error)
    assert sink.reconnects == 1
    assert "clips is back after " in caplog.messages[-1]
    write(lambda: bool(sink.error))
    grow_until_full(theirs)
    with pytest.raises(SinkError, match=r"full; .* frames were not written"):
        sink.close()


def fill(sink: Sink) -> int:
    """Write until the disk is full, and return the number of the failed frame."""
    for number in range(500):
        try:
            sink.write(noise(number))
        except SinkError as exc:
            text = str(exc)
            assert text.endswith(
                "cannot be recorded: the disk is full; free some space, or delete "
                "old segments with --keep"
            )
            return number
    pytest.fail("the disk never filled")


def test_recording_fails_when_other_files_fill_the_disk(small_disk: Path) -> None:
    """Old segments are deleted one by one, until none is left."""
    clock = WallClock()
    (small_disk / "theirs").write_bytes(b"x" * 900_000)
    old = [f"0{hour}-00-00.mkv" for hour in range(8)]
    for age_s, name in enumerate(reversed(old), start=60):
        make_old(small_disk / name, age_s, bytes(100_000))
    sink = segment_sink(
        f"{small_disk}/%H-%M-%S.mkv",
        segment_s=600,
        keep=Keep.parse(["1TB"]),
        adopt=True,
        now=clock,
        info=NOISE_INFO,
    )
    with sink:
        write_all(sink, range(5))
        grow_until_full(small_disk / "theirs")
        write_all(sink, range(5, 10))
        left = [name for name in files(small_disk) if name in old]
        assert 0 < len(left) < len(old)
        assert left == old[-len(left) :]

        def write_beside_others() -> None:
            for number in range(10, 500):
                grow_until_full(small_disk / "theirs")
                sink.write(noise(number))

        with pytest.raises(SinkError, match=r"is full; nothing is left to delete"):
            write_beside_others()
    assert not set(old) & set(files(small_disk))


def test_space_is_kept_free_for_other_files(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the middle of a segment, while other files grow."""
    monkeypatch.setattr(segments, "_CHECK_SPACE_S", 0.0)
    clock = WallClock()
    keep = Keep.parse(["40%free"])
    sink = segment_sink(
        f"{small_disk}/%H-%M-%S.mkv", keep=keep, now=clock, info=NOISE_INFO
    )
    total = shutil.disk_usage(small_disk).total
    with sink:
        for number in range(40):
            clock.moment = START + timedelta(seconds=number / RATE)
            sink.write(noise(number))
        assert shutil.disk_usage(small_disk).free > 0.4 * total - 500_000
        before = files(small_disk)
        theirs = small_disk / "theirs"
        theirs.write_bytes(b"x" * 300_000)
        for number in range(40, 48):  # the segment goes on
            sink.write(noise(number))
            wait_until(lambda: not _is_busy())
    assert files(small_disk)[0] > before[0]
    assert theirs.exists()


def _is_busy() -> bool:
    return any(each.name.startswith("finish") for each in threading.enumerate())


def test_the_index_survives_a_full_disk(small_disk: Path) -> None:
    theirs = small_disk / "theirs"
    journal = Journal(small_disk, "0" * 16)
    journal.note_whole()
    grow_until_full(theirs)
    for number in range(200):
        journal.put(Entry(number, f"{number}.mkv", 0.0, 0.0, 1))
    (path,) = small_disk.glob(".*")
    damaged = path.read_bytes()
    theirs.unlink()
    journal.sync()
    journal.close()
    again = Journal(small_disk, "0" * 16)
    again.close()
    assert again.is_whole
    assert len(again.entries) == 200
    # Without that, the next job would have read the recordings.
    path.write_bytes(damaged)
    again = Journal(small_disk, "0" * 16)
    again.close()
    assert not again.is_whole


def grow_until_full(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            return


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov", ".ts"])
def test_a_file_on_a_full_disk_is_playable(
    small_disk: Path, ending: str, is_live: bool
) -> None:
    info = StreamInfo(192, 144, "yuv420p", Fraction(RATE), is_live=is_live)
    path = small_disk / f"out{ending}"

    def record_until_full() -> None:
        with FileSink(path, info, encoder=FAST) as sink:
            write_all(sink, range(500))

    with pytest.raises(SinkError, match="no space left on device; the part wr") as e:
        record_until_full()
    assert "\n" not in str(e.value)
    (name,) = files(small_disk)
    numbers, times, first_is_key = decode(small_disk / name)
    assert len(numbers) > 20
    assert first_is_key
    assert np.diff(times) == pytest.approx(1 / RATE, abs=2e-3)


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts"])
def test_nothing_is_left_on_a_disk_that_was_full_before(
    small_disk: Path, ending: str
) -> None:
    grow_until_full(small_disk / "theirs")

    def record_anyway() -> None:
        with FileSink(small_disk / f"out{ending}", NOISE_INFO, encoder=FAST) as sink:
            write_all(sink, range(20))

    with pytest.raises(SinkError, match="no space left on device"):
        record_anyway()
    assert files(small_disk) == ["theirs"]


def test_the_sync_thread_ends_with_its_file(tmp_path: Path) -> None:
    """A thread syncs live recordings; it must close its descriptor."""
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for ending in ("close", "abort"):
        sink = FileSink(tmp_path / f"{ending}.mkv", INFO, encoder=FAST)
        sink.write(frame(0))
        getattr(sink, ending)()
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before
