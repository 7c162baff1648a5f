"""The recordings of one job: which files these are, and which ones are deleted."""

import logging
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock

from streamdenoise.errors import SinkError
from streamdenoise.io.ffmpeg.container import has_a_frame
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.output_folders import make_folder, why_no_file
from streamdenoise.io.recording.age_clock import AgeClock, steady_s
from streamdenoise.io.recording.disk import MountedFolder
from streamdenoise.io.recording.journal import Entry, Journal
from streamdenoise.io.recording.mark import Mark, owner_id
from streamdenoise.io.recording.names import SegmentNames, finished_name, is_partial
from streamdenoise.io.recording.retention import (
    SHARE_PER_HOUR,
    Keep,
    Recording,
    SuddenAges,
    clock_ages,
)
from streamdenoise.io.sinks.partial_file import PartialFile

log = logging.getLogger(__name__)

# Recordings that are read before the first new one if there is no index. Names begin
# with the date, so that the newest are among them.
_READ_FIRST = 200


class Archive:
    """The files that a job has recorded, in the order in which it made them.

    What it did not write itself it never deletes. Its `Journal` lists the files, and
    each of them has a `Mark`, from which a lost journal is made again.

    Ages are measured by an `AgeClock` of the job's own. By the wall clock, a recording
    may be older: that counts, too, but only `SHARE_PER_HOUR` of all may be deleted for
    it. If that clock is set ahead while the job runs, nothing gets older.

    `begin` and `complete` may be called while another thread calls `clean_up`.
    """

    def __init__(
        self,
        names: SegmentNames,
        *,
        source: str,
        keep: Keep,
        adopt: bool,
        disk: MountedFolder,
        now: Callable[[], datetime],
        steady: Callable[[], float] = steady_s,
    ) -> None:
        """Open the archive in the folder `names.root`, which is created.

        Args:
            names: Names of the recordings.
            source: Name of the source; with the pattern of the names, it identifies the
                job.
            keep: Limits.
            adopt: Whether to take over recordings of earlier versions, and of jobs
                that do not run.
            disk: Notices if the folder is no longer on its disk.
            now: Returns the local time.
            steady: Returns seconds that are never set.

        Raises:
            SinkError: The folder cannot be created or written to, or its disk is no
                longer mounted.
        """
        self._names = names
        self._keep = keep
        self._adopt = adopt
        self._disk = disk
        self._mutex = Lock()
        self._clock = AgeClock(now, steady)
        self._owner = owner_id(names.relative, source)
        self._sudden_ages = SuddenAges(steady)
        self._unread: list[Path] = []
        disk.check()
        make_folder(names.root)
        try:
            self._device = disk.device()
            self._journal = Journal(names.root, self._owner)
        except OSError as exc:
            raise self._open_error(exc) from exc
        try:
            self._read_journal()
        except OSError as exc:
            self._journal.close()
            raise self._open_error(exc) from exc
        self._first = self._next = self._journal.next_number()
        self._is_first_clean_up = True
        self._reported: set[Path] = set()
        self._holds_back = self._lacks_space = False
        self._is_closed = False

    def _read_journal(self) -> None:
        entries = self._journal.entries.values()
        if entries:
            last = max(entries, key=lambda entry: entry.at_s)
            self._clock.resume(last.at_s, last.wall_s)
        self._journal.absorb(self._clock.now_s(), foreign=self._adopt)
        if not self._journal.is_whole:
            self._unread = sorted(self._names.find())
            self._recover(_READ_FIRST)

    def _open_error(self, exc: OSError) -> SinkError:
        why = why_no_file(self._names.root, exc)
        return SinkError(f"{self._pattern} cannot be recorded: {why}")

    def begin(self, moment: datetime) -> tuple[Entry, PartialFile, dict[str, str]]:
        """Reserve a name for a recording that begins at `moment`.

        Returns:
            The entry, the file, and metadata for its container.

        Raises:
            SinkError: The disk is not mounted, or the folder cannot be written to.
        """
        while True:
            self._check_mounted()
            path = self._names.free_path(moment)
            make_folder(path.parent)
            with suppress(OSError):
                self._journal.restore()
            name = path.relative_to(self._names.root).as_posix()
            now_s, wall_s = self._clock.now_s(), self._clock.wall_s()
            entry = Entry(self._next, name, now_s, wall_s)
            # Before the file, which a crash would leave to nobody otherwise.
            self._journal.put(entry)
            try:
                partial = self._reserve(path)
            except SinkError:
                self._journal.drop(entry)
                raise
            if partial is not None:
                break
            self._journal.drop(entry)
        self._next += 1
        return entry, partial, self._mark(entry).tags(path.suffix)

    def _reserve(self, path: Path) -> PartialFile | None:
        """Reserve a name; None if another job is faster.

        Raises:
            SinkError: The disk is not mounted, or the folder cannot be written to.
        """
        try:
            partial = PartialFile(path, overwrite=False)
        except SinkError:
            # It has taken the name, or deleted the folder, which was empty.
            if os.path.lexists(path) or not path.parent.is_dir():
                return None
            raise
        try:
            self._check_mounted()
        except SinkError:
            partial.discard()
            raise
        # Nobody else takes this name as long as its first temporary one exists.
        if partial.is_first and not os.path.lexists(path):
            return partial
        partial.discard()
        return None

    def complete(self, entry: Entry) -> None:
        """Note the end of a recording, however it ended.

        A file that still has its temporary name gets a final one, or is deleted if
        there is no frame in it.
        """
        path = self._path(entry)
        partial = _partial(path)
        try:
            self._check_mounted()
            if not self._is_inside(entry):
                self._journal.drop(entry)
                return
            if os.path.lexists(partial):
                if not has_a_frame(partial):
                    self._names.delete(partial)
                    self._journal.drop(entry)
                    return
                path = self._names.final_path(partial)
                partial.rename(path)
                self._journal.drop(entry)
                entry.name = path.relative_to(self._names.root).as_posix()
            entry.size_bytes = path.stat().st_size
        except FileNotFoundError:
            self._forget_missing(entry)
        except SinkError:
            return  # the disk is not there: the next run completes it
        except FFMPEG_ERRORS as exc:
            self._warn_once(partial, f"cannot be completed: {reason(exc)}")
        else:
            entry.at_s, entry.wall_s = self._clock.now_s(), self._clock.wall_s()
            self._journal.put(entry)

    def clean_up(self) -> None:
        """Complete what a crash has left, and delete recordings beyond the limits."""
        with self._mutex:
            try:
                self._check_mounted()
            except SinkError:
                return  # whoever writes reports it
            try:
                if self._is_first_clean_up:
                    self._is_first_clean_up = False
                    self._take_stock()
                if self._keep:
                    self._apply_limits()
            except OSError as exc:
                self._warn_once(self._names.root, f"cannot be tidied: {reason(exc)}")
            self._journal.sync()

    def watch(self) -> None:
        """Check that the disk is still mounted, and that time passes; call it often.

        Raises:
            SinkError: It is not, or another one is in its place.
        """
        self._clock.now_s()
        self._check_mounted()

    def _check_mounted(self) -> None:
        self._disk.check(self._device)

    def delete_oldest(self) -> bool:
        """Delete the oldest recording, and return whether there was one.

        The newest one of this run stays: a job that makes room by deleting what it has
        just written records nothing.
        """
        if not self._keep:
            return False
        entries = list(self._journal.entries.values())
        completed = [entry for entry in entries if entry.size_bytes is not None]
        if completed and completed[-1].number >= self._first:
            completed.pop()
        return any(self._delete(entry) for entry in completed)

    def close(self) -> None:
        """Let other jobs have the entries."""
        self._is_closed = True
        self._journal.close()

    def _mark(self, entry: Entry) -> Mark:
        return Mark.of(self._owner, entry.number, entry.name)

    def _path(self, entry: Entry) -> Path:
        return self._names.root / entry.name

    def _recover(self, count: int) -> None:
        """Read the marks of up to `count` files that the journal may lack."""
        paths = [self._unread.pop() for _ in range(min(count, len(self._unread)))]
        known = self._journal.entries.keys() | self._journal.locked_names()
        for path in paths:
            name = finished_name(path).relative_to(self._names.root).as_posix()
            mark = Mark.read(path)
            if mark is None or mark != Mark.of(self._owner, mark.number, name):
                continue
            with suppress(FileNotFoundError):
                status = path.stat()
                entry = Entry(mark.number, name, self._clock.now_s(), status.st_mtime)
                if not is_partial(path):
                    entry.size_bytes = status.st_size
                if name not in known:
                    self._journal.put(entry)
        self._journal.sort()

    def _take_stock(self) -> None:
        """Settle what earlier runs have left, once, when the recording has begun."""
        self._recover(len(self._unread))
        if not self._journal.is_whole:
            self._journal.note_whole()
        theirs = self._journal.locked_names()
        for entry in list(self._journal.entries.values()):
            if entry.size_bytes is not None or entry.number >= self._first:
                continue
            # A crash has left it, perhaps when another job was faster to take the name.
            mark = Mark.read(_partial(self._path(entry)))
            if entry.name in theirs or mark not in (None, self._mark(entry)):
                self._journal.drop(entry)
            else:
                self.complete(entry)
        if self._keep:
            self._look_at_others()

    def _look_at_others(self) -> None:
        """Adopt, or report, other files with names like those of recordings."""
        known = self._journal.entries.keys() | self._journal.locked_names()
        found: list[tuple[float, int, Path]] = []
        now_s = self._clock.wall_s()
        for path in self._names.find():
            name = path.relative_to(self._names.root).as_posix()
            if is_partial(path) or name in known:
                continue
            with suppress(FileNotFoundError):
                status = path.stat()
                # A time in the future comes from a clock that was wrong.
                moment_s = status.st_mtime if status.st_mtime <= now_s else 0.0
                found.append((moment_s, status.st_size, path))
        if self._adopt:
            paths = [path for _, _, path in sorted(found)]
            self._journal.adopt(paths, self._clock.now_s())
        elif found:
            size_mb = sum(size for _, size, _ in found) / 1e6
            log.warning(
                "%s: %d other files (%.0f MB) have names like those of this recording, "
                "but are of another job or an earlier version; --keep neither counts "
                "nor deletes them; to include them, add --adopt",
                self._pattern,
                len(found),
                size_mb,
            )

    @property
    def _pattern(self) -> str:
        return f"{self._names.root / self._names.relative}"

    def _apply_limits(self) -> None:
        own_s = self._clock.now_s()
        entries = list(self._journal.entries.values())
        clock_ages_s = clock_ages(
            (entry.wall_s for entry in entries), self._clock.slow_wall_s()
        )
        finished: list[Recording] = []
        present_bytes = 0
        for entry, clock_age_s in zip(entries, clock_ages_s, strict=True):
            is_done = entry.size_bytes is not None
            path = f"{self._names.root}/{entry.name}"
            try:
                size_bytes = os.lstat(path if is_done else _partial(Path(path))).st_size
            except FileNotFoundError:
                if is_done:
                    self._forget_missing(entry)
                continue
            except OSError:
                continue
            if is_done:
                age_s = own_s - entry.at_s
                finished.append(Recording(entry.name, size_bytes, age_s, clock_age_s))
            else:
                present_bytes += size_bytes
        excess = self._keep.excess(
            finished,
            present_bytes=present_bytes,
            shortfall_bytes=self._shortfall(finished),
            sudden=self._sudden_ages.allowed(len(finished)),
        )
        self._sudden_ages.spend(excess.sudden)
        self._report_sudden(excess.held_back, len(finished))
        self._report_lack(excess.lacking_bytes)
        for name in excess.names:
            if self._is_closed:
                return
            if (entry := self._journal.entries.get(name)) is not None:
                self._delete(entry)

    def _report_sudden(self, held_back: int, count: int) -> None:
        was_reported = self._holds_back
        self._holds_back = held_back > count * SHARE_PER_HOUR
        if self._holds_back and not was_reported:
            log.warning(
                "%s: by the clock, %d of %d recordings are suddenly older than --keep "
                "allows; in case it is wrong, at most a tenth is deleted per hour; "
                "check the date",
                self._pattern,
                held_back,
                count,
            )

    def _report_lack(self, lacking_bytes: int) -> None:
        was_reported, self._lacks_space = self._lacks_space, lacking_bytes > 0
        if self._lacks_space and not was_reported:
            log.warning(
                "%s: %.0f MB too little of the disk is free, and no earlier segment is "
                "left to delete; free some space",
                self._pattern,
                lacking_bytes / 1e6,
            )

    def _shortfall(self, recordings: list[Recording]) -> int:
        """Bytes that the disk lacks.

        It needs space for two more segments like the last one: if it fills up in the
        middle of a segment, frames are lost.
        """
        try:
            disk = shutil.disk_usage(self._names.root)
        except OSError:
            return 0
        next_bytes = 2 * recordings[-1].size_bytes if recordings else 0
        return max(next_bytes, self._keep.free_bytes(disk.total)) - disk.free

    def _delete(self, entry: Entry) -> bool:
        path = self._path(entry)
        try:
            if not self._is_ours(entry, path):
                self._journal.drop(entry)
                log.warning("%s is kept: another program has replaced it", path)
                return False
            self._names.delete(path)
        except FileNotFoundError:
            self._forget_missing(entry)
            return False
        except OSError as exc:
            self._warn_once(path, f"cannot be deleted: {reason(exc)}")
            return False
        self._journal.drop(entry)
        log.info("deleted %s", path)
        return True

    def _is_inside(self, entry: Entry) -> bool:
        """Whether no link leads out of the folder, which others may write to."""
        root = os.path.realpath(self._names.root)
        folder = os.path.dirname(os.path.join(root, entry.name))
        return os.path.realpath(folder) == folder

    def _forget_missing(self, entry: Entry) -> None:
        """Remove the entry of a missing file, unless the whole disk is missing."""
        with suppress(SinkError):
            self._check_mounted()
            self._journal.drop(entry)

    def _is_ours(self, entry: Entry, path: Path) -> bool:
        """Whether a file is the one that was recorded, or adopted.

        Raises:
            OSError: It cannot be examined.
        """
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or not self._is_inside(entry):
            return False
        if entry.adopted_ns is not None:
            as_adopted = (entry.size_bytes, entry.adopted_ns)
            return (status.st_size, status.st_mtime_ns) == as_adopted
        # Other programs may copy the mark into what they make of it.
        mark = Mark.read(path) if status.st_size == entry.size_bytes else None
        return mark is not None and mark.owner == self._owner

    def _warn_once(self, path: Path, text: str) -> None:
        if path not in self._reported:
            self._reported.add(path)
            log.warning("%s %s", path, text)


def _partial(path: Path) -> Path:
    """The temporary name of a recording."""
    return path.with_name(f"{path.stem}.part{path.suffix}")
