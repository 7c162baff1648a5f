"""Continuous recording: where segments begin, and their names."""

import itertools
import time
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import pytest

from streamdenoise.errors import ConfigError, SinkError
from streamdenoise.frame import StreamInfo
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink
from tests.io.recordings import (
    FAST,
    INFO,
    RATE,
    WallClock,
    decode,
    files,
    frame,
    record,
    segment_sink,
)
from tests.support.frames import make_frame

DELAYED = EncoderConfig("x264", crf=10, preset="veryfast")  # delays 11 frames


@pytest.mark.parametrize("encoder", [FAST, DELAYED], ids=["no-delay", "delay"])
@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov", ".ts"])
def test_no_frame_is_lost_or_repeated(
    tmp_path: Path, ending: str, encoder: EncoderConfig
) -> None:
    clock = WallClock()
    sink = segment_sink(
        f"{tmp_path}/clips/%Y-%m-%d/%H-%M-%S{ending}",
        segment_s=3,
        encoder=encoder,
        now=clock,
    )
    assert isinstance(sink, Sink)
    # Starts late, like a stream that is joined while it runs.
    record(sink, (frame(n, 777_000 + n * 100) for n in range(95)), clock)
    clips = tmp_path / "clips"
    assert files(clips) == [
        f"2031-05-08/{name}{ending}" for name in ("00-11-57", "00-12-00", "00-12-03")
    ] + [f"2031-05-08/00-12-06{ending}"]
    seen = []
    for name in files(clips):
        numbers, times, first_is_key = decode(clips / name)
        assert first_is_key
        # Transport streams start late by design.
        zero = times[0] if ending == ".ts" else 0.0
        expected = [n / RATE for n in range(len(numbers))]
        assert [t - zero for t in times] == pytest.approx(expected, abs=1e-3)
        seen.append(numbers)
    assert seen == [list(range(n, min(n + 30, 95))) for n in range(0, 95, 30)]


@pytest.mark.parametrize("encoder", [FAST, DELAYED], ids=["no-delay", "delay"])
@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov", ".ts"])
def test_no_two_frames_have_the_same_time(
    tmp_path: Path, ending: str, encoder: EncoderConfig
) -> None:
    """A burst after a stall, whose frames are 11 microseconds apart."""
    unit = Fraction(1, 90_000)
    steps = [9000] * 20 + [1] * 200 + [9000] * 10
    times = itertools.accumulate(steps, initial=12_345)
    info = replace(INFO, time_base=unit)
    sink = segment_sink(f"{tmp_path}/%H{ending}", info=info, encoder=encoder)
    with sink:
        for number, pts in enumerate(times):
            sink.write(replace(frame(number), pts=pts, time_base=unit))
    count, last_s = 0, 0.0
    for name in sorted(files(tmp_path), key=lambda name: (len(name), name)):
        with av.open(str(tmp_path / name)) as container:
            packets = [each for each in container.demux(video=0) if each.size]
        stamps = sorted(each.pts for each in packets if each.pts is not None)
        assert len(set(stamps)) == len(packets)
        decoding = [each.dts for each in packets if each.dts is not None]
        assert all(b > a for a, b in itertools.pairwise(decoding))
        count += len(packets)
        last_s = float(stamps[-1] * packets[0].time_base)
    assert count == len(steps) + 1
    assert last_s < 1.0 + 0.2


def test_segments_do_not_drift(tmp_path: Path) -> None:
    """At 30000/1001 Hz, a second is not a whole number of frames."""
    clock = WallClock()
    sink = segment_sink(f"{tmp_path}/%H%M%S.mkv", now=clock)
    step = Fraction(1001, 30)
    record(sink, (frame(n, round(n * step)) for n in range(300)), clock)
    counts = [len(decode(tmp_path / name)[0]) for name in files(tmp_path)]
    assert sum(counts) == 300
    assert len(counts) == 10
    assert set(counts[:-1]) <= {29, 30}


def test_a_jump_of_timestamps_begins_a_new_segment(tmp_path: Path) -> None:
    clock = WallClock()
    sink = segment_sink(f"{tmp_path}/%H-%M-%S.mkv", segment_s=600, now=clock)
    # A gap of an hour, then timestamps that restart; a short gap does not count.
    times = [0, 100, 200, 5000, 3_600_000, 3_600_100, 50, 150]
    record(sink, (frame(n, at) for n, at in enumerate(times)), clock)
    names = files(tmp_path)
    assert names == ["00-59-00.mkv", "23-59-00-n2.mkv", "23-59-00.mkv"]
    seen = {name: decode(tmp_path / name)[:2] for name in names}
    assert seen["23-59-00.mkv"] == ([0, 1, 2, 3], [0.0, 0.1, 0.2, 5.0])
    assert seen["00-59-00.mkv"] == ([4, 5], [0.0, 0.1])
    assert seen["23-59-00-n2.mkv"] == ([6, 7], [0.0, 0.1])


def test_frames_with_repeated_timestamps_are_skipped(tmp_path: Path) -> None:
    sink = segment_sink(f"{tmp_path}/%H.mkv", segment_s=600)
    times = [0, 100, 100, 50, 200]
    record(sink, (frame(n, at) for n, at in enumerate(times)), WallClock())
    (name,) = files(tmp_path)
    assert decode(tmp_path / name)[:2] == ([0, 1, 4], [0.0, 0.1, 0.2])


def test_a_new_frame_size_begins_a_new_segment(tmp_path: Path) -> None:
    clock = WallClock()
    sink = segment_sink(f"{tmp_path}/%H-%M-%S.mp4", segment_s=600, now=clock)
    sizes = [(64, 48)] * 12 + [(96, 64)] * 15
    record(sink, (frame(n, size=size) for n, size in enumerate(sizes)), clock)
    first, second = files(tmp_path)
    assert decode(tmp_path / first)[0] == list(range(12))
    assert decode(tmp_path / second)[0] == list(range(12, 27))
    with av.open(str(tmp_path / second)) as container:
        assert container.streams.video[0].width == 96


def test_nothing_is_overwritten_when_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = WallClock()
    older = tmp_path / "23-59.mkv"
    older.write_bytes(b"from before")
    sink = segment_sink(f"{tmp_path}/%H-%M.mkv", now=clock)
    with sink:
        for index in range(30):
            sink.write(frame(index))
    assert files(tmp_path) == [f"23-59{n}.mkv" for n in ("-n2", "-n3", "-n4", "")]
    assert older.read_bytes() == b"from before"
    numbers = [decode(tmp_path / f"23-59-n{n}.mkv")[0] for n in (2, 3, 4)]
    assert numbers == [list(range(n, n + 10)) for n in (0, 10, 20)]


def test_the_repeated_hour_at_the_end_of_summer_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """00:30 UTC and 01:30 UTC are both 02:30 in Berlin."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        for pattern in ("%H-%M.mkv", "%H-%M%z.mkv"):
            clock = WallClock(datetime.fromisoformat("2031-10-26T00:30:00+00:00"))
            sink = segment_sink(f"{tmp_path}/{pattern}", segment_s=3600, now=clock)
            times = (0, 100, 3_600_000, 3_600_100)
            record(sink, (frame(n, at) for n, at in enumerate(times)), clock)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert files(tmp_path) == [
        "02-30+0100.mkv",
        "02-30+0200.mkv",
        "02-30-n2.mkv",
        "02-30.mkv",
    ]
    assert decode(tmp_path / "02-30-n2.mkv")[0] == [2, 3]
    assert decode(tmp_path / "02-30+0100.mkv")[0] == [2, 3]


def test_a_deleted_folder_is_created_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = WallClock()
    sink = segment_sink(f"{tmp_path}/clips/%H-%M-%S.mkv", now=clock)
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
        ("%H.avi", SinkError, "extension must be one of .mkv, .mp4, .mov, .ts"),
        ("all.mkv", ConfigError, "the same name"),
        ("file/%H.mkv", SinkError, "file cannot be created: a file has its name; cho"),
        ("/proc/%H.mkv", SinkError, "no files can be created in /proc; choose another"),
    ],
)
def test_an_invalid_target_fails_immediately(
    tmp_path: Path, pattern: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        SegmentSink(str(tmp_path / pattern), INFO, segment_s=60, keep=Keep())


@pytest.mark.parametrize("segment_s", [0.0, -1.0, 0.5, float("nan")])
def test_segments_must_last_at_least_a_second(tmp_path: Path, segment_s: float) -> None:
    with pytest.raises(ConfigError, match="too short; use 1 s or more"):
        SegmentSink(f"{tmp_path}/%H.mkv", INFO, segment_s=segment_s, keep=Keep())


def test_without_frames_there_is_no_file(tmp_path: Path) -> None:
    with segment_sink(f"{tmp_path}/c/%H.mkv", segment_s=60) as sink:
        pass
    sink.close()
    sink.abort()
    assert files(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        sink.write(frame(0))


def test_notes_are_not_repeated_for_each_segment(tmp_path: Path) -> None:
    info = StreamInfo(65, 48, "gray", Fraction(RATE), Fraction(1, 1000))
    sink = SegmentSink(f"{tmp_path}/%S.mkv", info, segment_s=1, keep=Keep())
    with sink:
        for index in range(35):
            sink.write(
                make_frame(
                    index,
                    width=65,
                    pix_fmt="gray",
                    pts=index * 100,
                    time_base=info.time_base,
                )
            )
    (note,) = sink.notes
    assert "65x48 is padded to 66x48" in note
