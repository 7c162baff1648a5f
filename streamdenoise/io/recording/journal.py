"""The index of what a job has recorded: a journal in a hidden file beside it."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

_PREFIX = ".streamdenoise-"
_SUFFIX = ".journal"

# Lines that a journal may have beyond those that its entries need.
_SPARE_LINES = 1000


@dataclass(slots=True)
class Entry:
    """A recording of this job."""

    number: int
    """Its place in the order in which the job made its recordings."""
    name: str
    """Path relative to the folder of the journal, when it is complete."""
    at_s: float
    """When it was begun or completed, on the job's own clock, see `Archive`."""
    wall_s: float
    """The same by the wall clock, in seconds of `time.time`."""
    size_bytes: int | None = None
    """None until it is complete."""
    adopted_ns: int | None = None
    """Time of the last write, if the file was adopted and has no mark."""

    def to_json(self) -> str:
        values = [self.number, self.name, round(self.at_s, 3), round(self.wall_s, 3)]
        return json.dumps([*values, self.size_bytes, self.adopted_ns])


class Journal:
    """The entries of one job, each change of which is a line appended to a file.

    An append-only file needs no locks on ranges and no shared memory, which databases
    expect and network disks often lack. A line is an entry, which replaces the earlier
    one of that name, or a name alone, which deletes it. ``true`` says that the journal
    lists all recordings of the job; without it, or if a line is damaged, the recordings
    themselves must be read, see `is_whole`.

    While a process has the journal open, it is locked: other processes leave its
    entries alone. A second job with the same name gets a journal of its own.

    Attributes:
        entries: All entries by their name, the oldest first.
        is_whole: Whether no recording of the job is missing in `entries`.
    """

    def __init__(self, root: Path, owner: str) -> None:
        """Open a journal of the job `owner` in the folder `root`.

        Raises:
            OSError: The file cannot be created.
        """
        self._root = root
        self._owner = owner
        self._mutex = RLock()
        self._fd, self._path = _open_unused(root, owner)
        self.entries, self.is_whole, self._lines = _parse(_read(self._fd))
        self._is_cut = False
        if not self.is_whole:
            self._rewrite()

    def close(self) -> None:
        """Release the lock; a journal without entries is deleted."""
        with self._mutex:
            if self._fd < 0:
                return
            if not self.entries and _is_at(self._fd, self._path):
                with suppress(OSError):
                    self._path.unlink()
            os.close(self._fd)
            self._fd = -1

    def next_number(self) -> int:
        """A number above those of all journals of this job."""
        entries = list(self.entries.values())
        for path in self._others():
            if self._is_sibling(path):
                entries += _parse(_read_path(path))[0].values()
        return max((entry.number for entry in entries), default=0) + 1

    def put(self, entry: Entry) -> None:
        """Add `entry`, the newest, or replace the one with its name."""
        with self._mutex:
            self.entries[entry.name] = entry
            self._append(entry.to_json())

    def drop(self, entry: Entry) -> None:
        """Remove `entry`: its file is gone, or has become another one."""
        with self._mutex:
            self.entries.pop(entry.name, None)
            self._append(json.dumps(entry.name))

    def sort(self) -> None:
        """Put the entries in the order of their numbers."""
        with self._mutex:
            self.entries = _sorted(self.entries)

    def note_whole(self) -> None:
        """Note that no recording is missing."""
        self.is_whole = True
        self._append("true")

    def sync(self) -> None:
        """Write the journal to the disk, without lines that are no longer needed."""
        with self._mutex:
            if self._fd < 0:
                return
            if self._is_cut or self._lines > 2 * len(self.entries) + _SPARE_LINES:
                self._rewrite()
            fd = self._fd
        with suppress(OSError):  # the marks in the recordings say the same
            os.fsync(fd)

    def restore(self) -> None:
        """Create the file again if it, or its folder, was deleted."""
        with self._mutex:
            if self._fd < 0 or _is_at(self._fd, self._path):
                return
            fd, self._path = _open_unused(self._root, self._owner)
            os.close(self._fd)
            self._fd = fd
            self._rewrite()

    def locked_names(self) -> set[str]:
        """Names of the recordings in journals that other processes have open."""
        names: set[str] = set()
        for path in self._others():
            fd = _open_locked(path, create=False)
            if fd is None:
                entries = _parse(_read_path(path))[0]
                names.update(entries)
            else:
                os.close(fd)
        return names

    def absorb(self, now_s: float, *, foreign: bool = False) -> None:
        """Take over the entries of journals of this job that no process has open.

        Args:
            now_s: The present time of the job's own clock. Each journal has one of
                its own: its newest entry counts as made now.
            foreign: Whether to take over the recordings of other jobs, too.
        """
        for path in self._others():
            is_sibling = self._is_sibling(path)
            fd = _open_locked(path, create=False) if is_sibling or foreign else None
            if fd is None:
                continue
            try:
                entries, is_whole, _ = _parse(_read(fd))
                newest_s = max((each.at_s for each in entries.values()), default=0.0)
                ahead = 0
                if not is_sibling and entries and self.entries:
                    # Other jobs count for themselves: theirs are older than all.
                    newest = max(each.number for each in entries.values())
                    ahead = newest + 1 - next(iter(self.entries.values())).number
                for entry in entries.values():
                    entry.at_s += now_s - newest_s
                    entry.number -= ahead
                    if entry.name not in self.entries and (
                        is_sibling or self._has_adopted(entry)
                    ):
                        self.put(entry)
                self.sort()
                self.is_whole = self.is_whole and (is_whole or not is_sibling)
                path.unlink(missing_ok=True)
            finally:
                os.close(fd)

    def adopt(self, paths: list[Path], at_s: float) -> None:
        """Add recordings without a mark; they become the oldest of all.

        Args:
            paths: Existing files, the oldest first.
            at_s: When they count as made, on the job's own clock.
        """
        first = min((each.number for each in self.entries.values()), default=1)
        for place, path in enumerate(paths):
            name = path.relative_to(self._root).as_posix()
            entry = Entry(first - len(paths) + place, name, at_s, 0.0)
            if self._has_adopted(entry):
                entry.wall_s = (entry.adopted_ns or 0) / 1e9
                self.put(entry)
        self.sort()

    def _has_adopted(self, entry: Entry) -> bool:
        """Note size and time of a file that another job wrote, if it is there."""
        try:
            status = os.lstat(self._root / entry.name)
        except OSError:
            return False
        entry.size_bytes, entry.adopted_ns = status.st_size, status.st_mtime_ns
        return True

    def _others(self) -> Iterator[Path]:
        for path in sorted(self._root.glob(f"{_PREFIX}*{_SUFFIX}")):
            if path != self._path:
                yield path

    def _is_sibling(self, path: Path) -> bool:
        return path.name.startswith(f"{_PREFIX}{self._owner}")

    def _append(self, line: str) -> None:
        with self._mutex:
            if self._fd < 0:
                return
            data = f"{line}\n".encode()
            self._lines += 1
            try:
                complete = os.write(self._fd, data) == len(data)
            except OSError:
                complete = False
            if not complete:
                # On a full disk. Without its last line end, which takes no space, the
                # journal counts as damaged: a next job would read the recordings.
                self._is_cut = True
                with suppress(OSError):
                    os.ftruncate(self._fd, max(0, os.fstat(self._fd).st_size - 1))

    def _rewrite(self) -> None:
        """Replace the file by one with only the present entries."""
        lines = [entry.to_json() for entry in self.entries.values()]
        if self.is_whole:
            lines.append("true")
        data = "".join(f"{line}\n" for line in lines).encode()
        new = self._path.with_suffix(".new")
        with suppress(OSError):  # the old one will do
            new.unlink(missing_ok=True)
            fd = _open_locked(new, create=True)
            if fd is None:
                return
            try:
                if os.write(fd, data) != len(data):
                    raise OSError("the disk is full")
                os.fsync(fd)
                os.replace(new, self._path)
            except OSError:
                os.close(fd)
                new.unlink(missing_ok=True)
                raise
            # It was locked before anyone could find it.
            os.close(self._fd)
            self._fd, self._lines, self._is_cut = fd, len(lines), False


def _open_unused(root: Path, owner: str) -> tuple[int, Path]:
    """Open and lock the first journal of a job that no process has open."""
    number = 1
    while True:
        count = "" if number == 1 else f"-{number}"
        path = root / f"{_PREFIX}{owner}{count}{_SUFFIX}"
        fd = _open_locked(path, create=True)
        if fd is not None:
            return fd, path
        number += 1


def _open_locked(path: Path, *, create: bool) -> int | None:
    """Open and lock a journal; None if a process has it open, or it is missing."""
    flags = os.O_RDWR | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        try:
            fd = os.open(path, flags | (os.O_CREAT if create else 0), 0o666)
        except FileNotFoundError:
            if create:
                raise
            return None
        if not _lock(fd):
            os.close(fd)
            return None
        if _is_at(fd, path):
            return fd
        os.close(fd)  # deleted before it was locked


def _lock(fd: int) -> bool:
    """Lock a file; False if another process has locked it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some network disks have no locks
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def _read(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


def _read_path(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _sorted(entries: dict[str, Entry]) -> dict[str, Entry]:
    return dict(sorted(entries.items(), key=lambda item: item[1].number))


def _parse(data: bytes) -> tuple[dict[str, Entry], bool, int]:
    """The entries of a journal, whether these are all, and its number of lines."""
    entries: dict[str, Entry] = {}
    *lines, rest = data.split(b"\n")
    is_whole, is_damaged = False, bool(rest)
    for line in lines:
        try:
            value = json.loads(line)
            if value is True:
                is_whole = True
            elif isinstance(value, str):
                entries.pop(value, None)
            else:
                entry = _entry(value)
                entries[entry.name] = entry
        except (ValueError, TypeError, OverflowError, RecursionError):
            is_damaged = True
    return _sorted(entries), is_whole and not is_damaged, len(lines)


def _entry(value: Any) -> Entry:
    """An entry of parsed JSON.

    Raises:
        ValueError: It is not one; names stay inside the folder.
        TypeError: It has other types.
    """
    number, name, at_s, wall_s, size_bytes, adopted_ns = value
    is_inside = isinstance(name, str) and not (
        name.startswith("/") or ".." in Path(name).parts or "\0" in name
    )
    whole = (number, *(each for each in (size_bytes, adopted_ns) if each is not None))
    times = float(at_s), float(wall_s)
    if (
        not is_inside
        or any(type(each) is not int for each in whole)
        or not all(math.isfinite(each) for each in times)
    ):
        raise ValueError(f"not an entry: {value}")
    return Entry(number, name, *times, size_bytes, adopted_ns)
