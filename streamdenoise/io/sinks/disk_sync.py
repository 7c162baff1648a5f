"""Periodic sync of a recording to the disk."""

import logging
import os
from pathlib import Path
from threading import Event, Thread

from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.progress import Stage

log = logging.getLogger(__name__)

# macOS and Windows have only fsync, which also writes the file's metadata.
_sync = getattr(os, "fdatasync", os.fsync)


class DiskSync:
    """Syncs `path` to the disk every `interval_s` seconds.

    A power cut then loses no more than that. A separate thread with its own descriptor
    waits for the disk, so that writes never do.

    Attributes:
        synced_bytes: Size of the file at the last sync that has succeeded.

    Args:
        path: An existing file.
        interval_s: Time between two syncs.
        stage: Gets the progress of each sync.
    """

    def __init__(
        self, path: Path, interval_s: float, stage: Stage | None = None
    ) -> None:
        self.synced_bytes = 0
        self._stage = stage or Stage()
        self._path = path
        self._interval_s = interval_s
        self._ended = Event()
        # Opened for writing, too: Windows cannot sync other descriptors.
        self._fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        self._thread = Thread(target=self._run, name=f"sync {path.name}", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> None:
        """Sync once more, and wait for it at most `timeout_s` seconds."""
        self._ended.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._interval_s):
                self._sync()
            self._sync()
        except OSError as exc:
            log.warning("%s may not survive a power cut: %s", self._path, reason(exc))
        finally:
            os.close(self._fd)

    def _sync(self) -> None:
        with self._stage.doing("syncing to the disk"):
            size = os.fstat(self._fd).st_size
            _sync(self._fd)
        self.synced_bytes = size
