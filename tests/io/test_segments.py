"""Recording round the clock: segments, their names, limits, and full disks."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from streamdenoise.errors import ConfigError, SinkError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink
from streamdenoise.io.sinks.file import FileSink
from tests.conftest import skip_or_fail

RATE = 10
INFO = StreamInfo(64, 48, "yuv420p", Fraction(RATE), Fraction(1, 1000), is_live=True)
FAST = EncoderConfig("x264", crf=10, preset="ultrafast")
HELD_BACK = EncoderConfig("x264", crf=10, preset="veryfast")  # 11 frames
LEVELS = 200
START = datetime(2031, 5, 7, 23, 59, 0)


def frame(index: int, at_ms: int | None = None, size: tuple = (64, 48)) -> Frame:
    """A flat picture whose brightness tells its number, modulo `LEVELS`."""
    width, height = size
    luma = np.full((height, width), 20 + index % LEVELS, np.uint8)
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    pts = index * 1000 // RATE if at_ms is None else at_ms
    return Frame(
        planes=(luma, chroma, chroma),
        pix_fmt="yuv420p",
        color=ColorInfo(),
        pts=pts,
        time_base=Fraction(1, 1000),
        index=index,
        captured_at=0.0,
    )


def noise_frame(index: int) -> Frame:
    """32 kB and more for each in H.264."""
    rng = np.random.default_rng(index)
    planes = tuple(
        rng.integers(0, 256, shape, np.uint8)
        for shape in ((144, 192), (72, 96), (72, 96))
    )
    return Frame(
        planes, "yuv420p", ColorInfo(), index * 100, Fraction(1, 1000), index, 0.0
    )


NOISE_INFO = StreamInfo(
    192, 144, "yuv420p", Fraction(RATE), Fraction(1, 1000), is_live=True
)


class WallClock:
    """Ticks with the frames that are written, as the real one does in a live job."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


def decode(path: Path) -> tuple[list[int], list[float], bool]:
    """Numbers and times in s of the pictures; and whether the first is a key frame.

    A last packet that a full disk or a crash has torn is left out.
    """
    numbers, times, keys = [], [], []
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))
        for place, packet in enumerate(packets):
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                assert place >= len(packets) - 2, "damage before the last packet"
                continue
            for picture in pictures:
                luma = picture.to_ndarray()[: picture.height].mean()
                numbers.append(round(float(luma)) - 20)
                times.append(float(picture.time))
                keys.append(picture.key_frame)
    return numbers, times, bool(keys and keys[0])


def record(sink: Sink, frames: Iterator[Frame], clock: WallClock) -> None:
    start = clock.moment
    with sink:
        for each in frames:
            clock.moment = start + timedelta(seconds=each.time_s)
            sink.write(each)


def files(folder: Path) -> list[str]:
    return sorted(
        str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()
    )


@pytest.mark.parametrize("encoder", [FAST, HELD_BACK], ids=["now", "held-back"])
@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov", ".ts"])
def test_no_frame_is_lost_or_doubled(
    tmp_path: Path, ending: str, encoder: EncoderConfig
) -> None:
    clock = WallClock()
    sink = SegmentSink(
        f"{tmp_path}/clips/%Y-%m-%d/%H-%M-%S{ending}",
        INFO,
        segment_s=3,
        keep=Keep(),
        encoder=encoder,
        now=clock,
    )
    assert isinstance(sink, Sink)
    # Begins late, as a stream does that was joined.
    record(sink, (frame(n, 777_000 + n * 100) for n in range(95)), clock)
    clips = tmp_path / "clips"
    assert files(clips) == [
        f"2031-05-08/{name}{ending}" for name in ("00-11-57", "00-12-00", "00-12-03")
    ] + [f"2031-05-08/00-12-06{ending}"]
    seen = []
    for name in files(clips):
        numbers, times, first_is_key = decode(clips / name)
        assert first_is_key
        # Transport streams begin late on purpose.
        zero = times[0] if ending == ".ts" else 0.0
        expected = [n / RATE for n in range(len(numbers))]
        assert [t - zero for t in times] == pytest.approx(expected, abs=1e-3)
        seen.append(numbers)
    assert seen == [list(range(n, min(n + 30, 95))) for n in range(0, 95, 30)]


def test_segments_do_not_drift(tmp_path: Path) -> None:
    """At 30000/1001 Hz no segment of 1 s is whole frames: on the whole they are."""
    clock = WallClock()
    sink = SegmentSink(
        f"{tmp_path}/%H%M%S.mkv",
        INFO,
        segment_s=1,
        keep=Keep(),
        encoder=FAST,
        now=clock,
    )
    step = Fraction(1001, 30)
    record(sink, (frame(n, round(n * step)) for n in range(300)), clock)
    counts = [len(decode(tmp_path / name)[0]) for name in files(tmp_path)]
    assert sum(counts) == 300
    assert len(counts) == 10
    assert set(counts[:-1]) <= {29, 30}


def test_jumps_of_time_begin_a_new_segment(tmp_path: Path) -> None:
    clock = WallClock()
    sink = SegmentSink(
        f"{tmp_path}/%H-%M-%S.mkv",
        INFO,
        segment_s=600,
        keep=Keep(),
        encoder=FAST,
        now=clock,
    )
    # Away for an hour, then a clock that begins anew; a short gap is no reason.
    times = [0, 100, 200, 5000, 3_600_000, 3_600_100, 50, 150]
    record(sink, (frame(n, at) for n, at in enumerate(times)), clock)
    names = files(tmp_path)
    assert names == ["00-59-00.mkv", "23-59-00-2.mkv", "23-59-00.mkv"]
    seen = {name: decode(tmp_path / name)[:2] for name in names}
    assert seen["23-59-00.mkv"] == ([0, 1, 2, 3], [0.0, 0.1, 0.2, 5.0])
    assert seen["00-59-00.mkv"] == ([4, 5], [0.0, 0.1])
    assert seen["23-59-00-2.mkv"] == ([6, 7], [0.0, 0.1])


def test_a_repeated_time_is_written_once(tmp_path: Path) -> None:
    sink = SegmentSink(f"{tmp_path}/%H.mkv", INFO, segment_s=600, keep=Keep())
    times = [0, 100, 100, 50, 200]
    record(sink, (frame(n, at) for n, at in enumerate(times)), WallClock())
    (name,) = files(tmp_path)
    assert decode(tmp_path / name)[:2] == ([0, 1, 4], [0.0, 0.1, 0.2])


def test_another_size_begins_a_new_segment(tmp_path: Path) -> None:
    clock = WallClock()
    sink = SegmentSink(
        f"{tmp_path}/%H-%M-%S.mp4", INFO, segment_s=600, keep=Keep(), now=clock
    )
    sizes = [(64, 48)] * 12 + [(96, 64)] * 15
    record(sink, (frame(n, size=size) for n, size in enumerate(sizes)), clock)
    first, second = files(tmp_path)
    assert decode(tmp_path / first)[0] == list(range(12))
    assert decode(tmp_path / second)[0] == list(range(12, 27))
    with av.open(str(tmp_path / second)) as container:
        assert container.streams.video[0].width == 96


def test_clocks_that_are_put_back_overwrite_nothing(tmp_path: Path) -> None:
    clock = WallClock()
    older = tmp_path / "23-59.mkv"
    older.write_bytes(b"from before")
    sink = SegmentSink(
        f"{tmp_path}/%H-%M.mkv", INFO, segment_s=1, keep=Keep(), encoder=FAST, now=clock
    )
    with sink:
        for index in range(30):
            sink.write(frame(index))
    assert files(tmp_path) == [f"23-59{n}.mkv" for n in ("-2", "-3", "-4", "")]
    assert older.read_bytes() == b"from before"
    numbers = [decode(tmp_path / f"23-59-{n}.mkv")[0] for n in (2, 3, 4)]
    assert numbers == [list(range(n, n + 10)) for n in (0, 10, 20)]


def test_the_hour_that_comes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of summer time, 00:30 UTC and 01:30 UTC are both 02:30 in Berlin."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        for pattern in ("%H-%M.mkv", "%H-%M%z.mkv"):
            clock = WallClock(datetime.fromisoformat("2031-10-26T00:30:00+00:00"))
            sink = SegmentSink(
                f"{tmp_path}/{pattern}", INFO, segment_s=3600, keep=Keep(), now=clock
            )
            times = (0, 100, 3_600_000, 3_600_100)
            record(sink, (frame(n, at) for n, at in enumerate(times)), clock)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert files(tmp_path) == [
        "02-30+0100.mkv",
        "02-30+0200.mkv",
        "02-30-2.mkv",
        "02-30.mkv",
    ]
    assert decode(tmp_path / "02-30-2.mkv")[0] == [2, 3]
    assert decode(tmp_path / "02-30+0100.mkv")[0] == [2, 3]


def make_old(path: Path, age_s: float, content: bytes = bytes(1000)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    modified = time.time() - age_s
    os.utime(path, (modified, modified))


def test_old_recordings_go_at_a_switch_and_nothing_else(tmp_path: Path) -> None:
    day = 86_400
    make_old(tmp_path / "2020-01-01/10-00-00.mkv", 9 * day)
    make_old(tmp_path / "2020-01-02/10-00-00-2.mkv", 8 * day)
    make_old(tmp_path / "2020-01-02/11-00-00.part.mkv", 8 * day)
    make_old(tmp_path / "2020-01-03/10-00-00.mkv", 6 * day)
    others = ("2020-01-02/notes.txt", "2020-01-02/10-00.mkv", "movie.mkv", "x/1.mkv")
    for name in others:
        make_old(tmp_path / name, 100 * day)
    sink = SegmentSink(
        f"{tmp_path}/%Y-%m-%d/%H-%M-%S.mkv",
        INFO,
        segment_s=1,
        keep=Keep.parse(["7d"]),
        encoder=FAST,
    )
    record(sink, (frame(n) for n in range(30)), WallClock())
    left = files(tmp_path)
    new = [name for name in left if not name.startswith("2020-") and "/" in name]
    assert sorted(set(left) - set(new)) == sorted(
        ["2020-01-03/10-00-00.mkv", *others[:3]]
    )
    assert len([name for name in new if name != others[3]]) == 3
    assert not (tmp_path / "2020-01-01").exists()


def test_no_limit_deletes_nothing(tmp_path: Path) -> None:
    make_old(tmp_path / "10-00-00.mkv", 1e8)
    sink = SegmentSink(f"{tmp_path}/%H-%M-%S.mkv", INFO, segment_s=1, keep=Keep())
    record(sink, (frame(n) for n in range(25)), WallClock())
    assert "10-00-00.mkv" in files(tmp_path)


def test_a_limit_on_the_size_holds_while_recording(tmp_path: Path) -> None:
    clock = WallClock()
    sink = SegmentSink(
        f"{tmp_path}/%H-%M-%S.mkv",
        NOISE_INFO,
        segment_s=1,
        keep=Keep.parse(["1MB"]),
        encoder=FAST,
        now=clock,
    )
    largest = total = 0
    with sink:
        for index in range(60):
            clock.moment = START + timedelta(seconds=index / RATE)
            sink.write(noise_frame(index))
            sizes = list(sizes_of(tmp_path))
            largest, total = max(largest, *sizes), max(total, sum(sizes))
    assert 3 * largest > 1_000_000  # else nothing had to go
    # Beside the limit: what has grown since the last switch, and the one before it.
    assert total < 1_000_000 + 2 * largest + 100_000
    assert f"{START + timedelta(seconds=5):%H-%M-%S}.mkv" in files(tmp_path)
    assert f"{START:%H-%M-%S}.mkv" not in files(tmp_path)


def test_what_another_job_writes_at_the_moment_stays(tmp_path: Path) -> None:
    make_old(tmp_path / "01-00-00.mkv", 60)
    theirs = tmp_path / "02-00-00.part.mkv"
    theirs.write_bytes(bytes(1000))
    sink = SegmentSink(
        *(f"{tmp_path}/%H-%M-%S.mkv", INFO),
        segment_s=1,
        keep=Keep(max_bytes=1),
        now=datetime.now,
    )
    with sink:
        for index in range(50):
            sink.write(frame(index))
    assert theirs.exists()
    assert not (tmp_path / "01-00-00.mkv").exists()


def sizes_of(folder: Path) -> Iterator[int]:
    for each in list(folder.iterdir()):
        with suppress(FileNotFoundError):  # renamed or deleted meanwhile
            yield each.stat().st_size


def test_what_cannot_be_deleted_is_told_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(tmp_path / "01-00-00.mkv", 5e6)
    make_old(tmp_path / "02-00-00.mkv", 4e6)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "01-00-00.mkv":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)  # root may delete anything
    sink = SegmentSink(
        f"{tmp_path}/%H-%M-%S.mkv", INFO, segment_s=1, keep=Keep(max_age_s=1e6)
    )
    record(sink, (frame(n) for n in range(50)), WallClock())
    assert "01-00-00.mkv" in files(tmp_path)
    assert "02-00-00.mkv" not in files(tmp_path)
    told = [each.message for each in caplog.records if "deleted" in each.message]
    assert told == [f"{tmp_path}/01-00-00.mkv cannot be deleted: permission denied"]


def test_what_a_crash_left_gets_its_name(tmp_path: Path) -> None:
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
    sink = SegmentSink(f"{tmp_path}/%H-%M-%S.mkv", INFO, segment_s=600, keep=Keep())
    record(sink, (frame(n) for n in range(3)), WallClock())
    names = set(files(tmp_path))
    assert names > expected
    (new,) = names - expected
    assert decode(tmp_path / new)[0] == [0, 1, 2]
    assert decode(tmp_path / "01-00-00.mkv")[0] == list(range(5))
    assert (tmp_path / "02-00-00.mkv").read_bytes() == b"taken"


def test_a_folder_that_vanishes_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = WallClock()
    sink = SegmentSink(
        f"{tmp_path}/clips/%H-%M-%S.mkv",
        INFO,
        segment_s=1,
        keep=Keep(),
        encoder=FAST,
        now=clock,
    )
    with sink:
        for index in range(5):
            sink.write(frame(index))
        clock.moment += timedelta(seconds=1)
        for each in (tmp_path / "clips").iterdir():
            each.unlink()
        (tmp_path / "clips").rmdir()
        for index in range(5, 20):
            sink.write(frame(index))
    (name,) = files(tmp_path / "clips")
    assert decode(tmp_path / "clips" / name)[0] == list(range(10, 20))
    assert "cannot be written: no such file" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("%H.avi", SinkError, "ending must be one of .mkv, .mp4, .mov, .ts"),
        ("all.mkv", ConfigError, "one name"),
        ("file/%H.mkv", SinkError, "the folder .*file cannot be made .*choose another"),
    ],
)
def test_what_cannot_be_recorded_is_told_at_once(
    tmp_path: Path, pattern: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        SegmentSink(f"{tmp_path}/{pattern}", INFO, segment_s=60, keep=Keep())


@pytest.mark.parametrize("segment_s", [0.0, -1.0, 0.5, float("nan")])
def test_segments_last_a_second_or_more(tmp_path: Path, segment_s: float) -> None:
    with pytest.raises(ConfigError, match="too short; use 1 s or more"):
        SegmentSink(f"{tmp_path}/%H.mkv", INFO, segment_s=segment_s, keep=Keep())


def test_no_frame_leaves_no_file(tmp_path: Path) -> None:
    with SegmentSink(f"{tmp_path}/c/%H.mkv", INFO, segment_s=60, keep=Keep()) as sink:
        pass
    sink.close()
    sink.abort()
    assert files(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        sink.write(frame(0))


def test_notes_are_those_of_one_segment(tmp_path: Path) -> None:
    info = StreamInfo(65, 48, "gray", Fraction(RATE), Fraction(1, 1000))
    sink = SegmentSink(f"{tmp_path}/%S.mkv", info, segment_s=1, keep=Keep())
    with sink:
        for index in range(35):
            luma = np.full((48, 65), 90, np.uint8)
            sink.write(
                Frame(
                    (luma,),
                    "gray",
                    ColorInfo(),
                    index * 100,
                    info.time_base,
                    index,
                    0.0,
                )
            )
    (note,) = sink.notes
    assert "65x48 is padded to 66x48" in note


def test_a_crash_safe_file_of_its_own_thread_ends(tmp_path: Path) -> None:
    """A live recording is synced by a thread, which ends with the file."""
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for ending in ("close", "abort"):
        sink = FileSink(tmp_path / f"{ending}.mkv", INFO, encoder=FAST)
        sink.write(frame(0))
        getattr(sink, ending)()
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as exc:
        skip_or_fail("disk", f"no disk can be mounted: {exc}")
    if done.returncode != 0:
        skip_or_fail("disk", f"no disk can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts"])
def test_on_a_full_disk_the_oldest_go_and_recording_goes_on(
    small_disk: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """About 6 MB in segments of 0.35 MB onto a disk of 2 MB."""
    clock = WallClock()
    (small_disk / f"diary{ending}").write_bytes(b"not a recording")
    sink = SegmentSink(
        f"{small_disk}/%H-%M-%S{ending}",
        NOISE_INFO,
        segment_s=1,
        keep=Keep.parse(["1TB"]),
        encoder=FAST,
        now=clock,
    )
    record(sink, (noise_frame(n) for n in range(180)), clock)
    names = files(small_disk)
    names.remove(f"diary{ending}")
    assert f"23-59-17{ending}" in names
    assert f"23-59-00{ending}" not in names
    # There was always room before it was needed: not one frame is missing.
    assert len(names) >= 3
    assert {len(decode(small_disk / name)[0]) for name in names} == {10}
    assert caplog.records == []


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts"])
def test_a_full_disk_without_limits_is_one_clear_error(
    small_disk: Path, ending: str
) -> None:
    clock = WallClock()
    sink = SegmentSink(
        f"{small_disk}/%H-%M-%S{ending}",
        NOISE_INFO,
        segment_s=600,
        keep=Keep(),
        encoder=FAST,
        now=clock,
    )
    with sink:
        number = fill(sink)
        (name,) = files(small_disk)
        assert name == f"23-59-00{ending}"
        # Two fragments and the frame itself may be missing.
        numbers, _, _ = decode(small_disk / name)
        assert number - 12 <= len(numbers) <= number
        # Trying again leaves no heap of empty files behind.
        for again in range(number + 1, number + 4):
            with pytest.raises(SinkError, match="the disk is full"):
                write_all(sink, range(again * 10, again * 10 + 10))
        assert len(files(small_disk)) <= 4
        for other in files(small_disk):
            assert decode(small_disk / other)[0]
        (small_disk / name).unlink()  # somebody makes room
        clock.moment += timedelta(hours=1)
        write_all(sink, range(5000, 5010))
    assert len(decode(small_disk / f"00-59-00{ending}")[0]) == 10


def fill(sink: Sink) -> int:
    """Write until the disk is full; the number of the frame that failed."""
    for number in range(500):
        try:
            sink.write(noise_frame(number))
        except SinkError as exc:
            text = str(exc)
            assert text.endswith(
                "cannot be recorded: the disk is full; free some space, or let old "
                "segments go with --keep"
            )
            return number
    pytest.fail("the disk never filled")


def write_all(sink: Sink, numbers: range) -> None:
    for number in numbers:
        sink.write(noise_frame(number))


def test_a_disk_that_others_filled_ends_with_an_error(small_disk: Path) -> None:
    """Old segments go one by one, until there is nothing left to delete."""
    clock = WallClock()
    (small_disk / "theirs").write_bytes(b"x" * 900_000)
    old = [f"0{hour}-00-00.mkv" for hour in range(8)]
    for age_s, name in enumerate(reversed(old), start=60):
        make_old(small_disk / name, age_s, bytes(100_000))
    sink = SegmentSink(
        f"{small_disk}/%H-%M-%S.mkv",
        NOISE_INFO,
        segment_s=600,
        keep=Keep.parse(["1TB"]),
        encoder=FAST,
        now=clock,
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
                sink.write(noise_frame(number))

        with pytest.raises(SinkError, match=r"is full; nothing is left to delete"):
            write_beside_others()
    assert not set(old) & set(files(small_disk))


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

    with pytest.raises(SinkError, match="no space left on device; what is wri") as e:
        record_until_full()
    assert "\n" not in str(e.value)
    (name,) = files(small_disk)
    numbers, times, first_is_key = decode(small_disk / name)
    assert len(numbers) > 20
    assert first_is_key
    assert np.diff(times) == pytest.approx(1 / RATE, abs=2e-3)


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts"])
def test_a_file_on_a_disk_that_was_full_before_leaves_nothing(
    small_disk: Path, ending: str
) -> None:
    grow_until_full(small_disk / "theirs")

    def record_anyway() -> None:
        with FileSink(small_disk / f"out{ending}", NOISE_INFO, encoder=FAST) as sink:
            write_all(sink, range(20))

    with pytest.raises(SinkError, match="no space left on device"):
        record_anyway()
    assert files(small_disk) == ["theirs"]
