"""Recording on a disk that is unmounted, and mounted again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamdenoise.errors import SinkError
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.options import Reconnect
from streamdenoise.io.recording import disk as disk_module
from streamdenoise.io.recording import segments
from streamdenoise.io.recording.disk import MountedFolder
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink
from streamdenoise.io.sinks.retrying import RetryingSink
from tests.io.recordings import RATE, decode, files, frame, segment_sink
from tests.support.disks import LoopDisk, bound


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    with LoopDisk(tmp_path) as disk:
        yield disk


def retrying(open_sink: Callable[[], SegmentSink]) -> RetryingSink:
    return RetryingSink(
        lambda _: open_sink(),
        "recording",
        reconnect=Reconnect(),
        backoff=Backoff(1e-9, 1e-9),
    )


def test_nothing_is_written_below_the_mount_point(
    disk: LoopDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_CHECK_MOUNT_S", 0.0)
    pattern = f"{disk.path}/clips/%Y-%m-%d/%H-%M-%S-%f.mkv"
    watched = MountedFolder(disk.path / "clips")
    keep = Keep(max_bytes=10**6)
    sink = retrying(lambda: segment_sink(pattern, keep=keep, disk=watched))
    with sink:
        for number in range(25):
            sink.write(frame(number))
        disk.unmount()
        for number in range(25, 45):
            sink.write(frame(number))
        assert "is not mounted; mount it" in sink.error
        assert files(disk.path) == []
        assert list(disk.path.iterdir()) == []
        disk.mount()
        for number in range(45, 60):
            sink.write(frame(number))
    assert sink.error == ""
    found = [decode(disk.path / name)[0] for name in files(disk.path)]
    numbers = sorted(number for each in found for number in each)
    # Frames of the segment that was being written are on the disk, too.
    assert numbers == [*range(25), *range(45, 60)]
    assert {len(each) for each in found} == {RATE, RATE // 2}
    assert not [name for name in files(disk.path) if ".part" in name]


def test_a_disk_that_is_mounted_over_the_recording_is_used(
    disk: LoopDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a job starts before its disk is there."""
    monkeypatch.setattr(segments, "_CHECK_MOUNT_S", 0.0)
    disk.unmount()
    watched = MountedFolder(disk.path)
    pattern = f"{disk.path}/%H-%M-%S-%f.mkv"
    sink = retrying(lambda: segment_sink(pattern, disk=watched))
    with sink:
        for number in range(5):
            sink.write(frame(number))
        disk.mount()
        for number in range(5, 15):
            sink.write(frame(number))
    assert sink.error == ""
    assert sink.dropped == 1
    assert len(files(disk.path)) == 1


def test_a_folder_that_is_no_longer_bound_is_noticed(tmp_path: Path) -> None:
    """It is on the same disk as what is below."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with bound(disk, tmp_path / "my place") as place:
        watched = MountedFolder(place / "clips")
        watched.check()
    with pytest.raises(SinkError, match="my place is not mounted"):
        watched.check()


def test_a_disk_that_is_missing_at_the_start_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstab = tmp_path / "fstab"
    mount = tmp_path / "my disk"
    listed = f"{mount}".replace(" ", "\\040")
    fstab.write_text(
        f"# a table\n\nUUID=1 none swap sw 0 0\nUUID=2 {listed} ext4 rw 0 2\n"
    )
    monkeypatch.setattr(disk_module, "_FSTAB", fstab)
    pattern = f"{mount}/clips/%H-%M-%S.mkv"
    with pytest.raises(SinkError, match=r"the disk at .*/my disk is not mounted"):
        segment_sink(pattern)
    assert not mount.exists()
