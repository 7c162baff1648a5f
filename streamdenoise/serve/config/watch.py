"""Notices that a file has changed, once whoever writes it has finished."""

import os
from pathlib import Path

_Look = tuple[int, int, int] | None


class FileWatch:
    """Compares what the system says of a file each time it is asked.

    Editors replace files or write them in pieces: a change counts when two looks in a
    row find the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._last = self._look()

    def has_changed(self) -> bool:
        """Whether the file is another one than before; once for each change."""
        last, self._last = self._last, self._look()
        if self._last is None or self._last != last or last == self._known:
            return False
        self._known = last
        return True

    def accept(self) -> None:
        """Take the file as it is now for known, because it is read anyway."""
        self._known = self._last = self._look()

    def _look(self) -> _Look:
        """Time, size and identity; None while there is no file."""
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
