"""Recordings on the disk itself, not only in the memory of the kernel."""

import logging
import os
from pathlib import Path
from threading import Event, Thread

from streamdenoise.io.ffmpeg.errors import reason

log = logging.getLogger(__name__)

# macOS and Windows have only the one that also waits for the file's dates.
_sync = getattr(os, "fdatasync", os.fsync)


class DiskSync:
    """Has what is written to `path` put on the disk every `interval_s` seconds.

    A cut of the power then loses no more than that. A thread with a descriptor of its
    own waits for the disk, not the one that writes.
    """

    def __init__(self, path: Path, interval_s: float = 2.0) -> None:
        self._path = path
        self._interval_s = interval_s
        self._ended = Event()
        # For reading and writing: Windows syncs no others.
        self._fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        self._thread = Thread(target=self._run, name=f"sync {path.name}", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> None:
        """Sync once more; a disk that takes longer than `timeout_s` is left to it."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._interval_s):
                _sync(self._fd)
            _sync(self._fd)
        except OSError as exc:
            log.warning(
                "%s: may not survive a cut of the power: %s", self._path, reason(exc)
            )
        finally:
            os.close(self._fd)
