"""Recordings of frames that show their number, and reading them back."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import av.error

from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording.disk import MountedFolder
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink
from tests.support.frames import make_frame, noise_frame

RATE = 10
INFO = StreamInfo(64, 48, "yuv420p", Fraction(RATE), Fraction(1, 1000), is_live=True)
NOISE_INFO = StreamInfo(
    192, 144, "yuv420p", Fraction(RATE), Fraction(1, 1000), is_live=True
)
FAST = EncoderConfig("x264", crf=10, preset="ultrafast")
LEVELS = 200
NO_LIMIT = Keep()
START = datetime(2031, 5, 7, 23, 59, 0)


def frame(index: int, at_ms: int | None = None, size: tuple[int, int] = (64, 48)):
    """A flat frame whose brightness shows its number, modulo `LEVELS`."""
    width, height = size
    return make_frame(
        index,
        20 + index % LEVELS,
        width=width,
        height=height,
        pts=index * 1000 // RATE if at_ms is None else at_ms,
        time_base=Fraction(1, 1000),
    )


def noise(index: int) -> Frame:
    """A frame that takes at least 32 kB in H.264."""
    time_base = Fraction(1, 1000)
    return noise_frame(
        index, width=192, height=144, pts=index * 1000 // RATE, time_base=time_base
    )


class WallClock:
    """A clock that `record` advances with the timestamps of the frames."""

    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


def segment_sink(
    pattern: str,
    *,
    info: StreamInfo = INFO,
    segment_s: float = 1,
    keep: Keep = NO_LIMIT,
    encoder: EncoderConfig = FAST,
    adopt: bool = False,
    disk: MountedFolder | None = None,
    now: Callable[[], datetime] = datetime.now,
) -> SegmentSink:
    """A sink for segments of a second that are all kept, unless given otherwise."""
    return SegmentSink(
        pattern,
        info,
        segment_s=segment_s,
        keep=keep,
        encoder=encoder,
        adopt=adopt,
        disk=disk,
        now=now,
    )


def decode(path: Path) -> tuple[list[int], list[float], bool]:
    """Read the numbers and times in seconds of all frames.

    A last packet that was cut off by a full disk or a crash is skipped.

    Returns:
        Numbers, times, and whether the first frame is a key frame.
    """
    numbers, times, keys = [], [], []
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))
        for place, packet in enumerate(packets):
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                assert place >= len(packets) - 2, "damage before the last packet"
                continue
            for each in decoded:
                luma = each.to_ndarray()[: each.height].mean()
                numbers.append(round(float(luma)) - 20)
                times.append(float(each.time))
                keys.append(each.key_frame)
    return numbers, times, bool(keys and keys[0])


def record(sink: Sink, frames: Iterable[Frame], clock: WallClock) -> None:
    start = clock.moment
    with sink:
        for each in frames:
            clock.moment = start + timedelta(seconds=each.time_s)
            sink.write(each)


def files(folder: Path) -> list[str]:
    """All files but the index of the recordings, which is hidden."""
    return sorted(
        str(each.relative_to(folder))
        for each in folder.rglob("[!.]*")
        if each.is_file()
    )


def make_old(path: Path, age_s: float, content: bytes = bytes(1000)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    modified = time.time() - age_s
    os.utime(path, (modified, modified))


def sizes_of(folder: Path) -> Iterator[int]:
    for each in list(folder.iterdir()):
        with suppress(FileNotFoundError):  # renamed or deleted since
            yield each.stat().st_size


def write_all(sink: Sink, numbers: range) -> None:
    for number in numbers:
        sink.write(noise(number))
