"""Noticing that the disk with the recordings is no longer mounted."""

import os
import re
from pathlib import Path

from streamdenoise.errors import SinkError

# What should be mounted, and what is: a mount point is the second and fifth word of a
# line.
_FSTAB, _FSTAB_PLACE = Path("/etc/fstab"), 1
_MOUNTED, _MOUNTED_PLACE = Path("/proc/self/mountinfo"), 4


class MountedFolder:
    """A folder that must not be written to while its disk is not mounted.

    Files would fill the disk below the mount point then, and vanish under the right
    one later. The mount point is that of the first moment, or of ``/etc/fstab``, and
    remains so if the recording is started again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mount = _mount_point(folder)

    def device(self) -> int:
        """Identify the disk that the folder is on now.

        Raises:
            OSError: There is no such folder.
        """
        return os.stat(self._folder).st_dev

    def check(self, device: int | None = None) -> None:
        """Check that the disk is mounted.

        Args:
            device: The disk that was there before; None allows any.

        Raises:
            SinkError: It is not, or another one is mounted there by now.
        """
        if not _is_mounted(self._mount):
            raise SinkError(
                f"{self._folder} cannot be recorded to: the disk at {self._mount} is "
                "not mounted; mount it"
            )
        try:
            is_same = device in (None, self.device())
        except OSError:
            return  # a deleted folder is created again
        if not is_same:
            raise SinkError(
                f"{self._folder} is on another disk now; recording starts again there"
            )


def _mount_point(folder: Path) -> Path:
    should_be = _mount_points(_FSTAB, _FSTAB_PLACE)
    path = Path(os.path.realpath(folder))
    while not _is_mounted(path) and path not in should_be and path != path.parent:
        path = path.parent
    return path


def _is_mounted(path: Path) -> bool:
    # Only Linux tells of folders that are mounted at another place of the same disk.
    is_listed = path in _mount_points(_MOUNTED, _MOUNTED_PLACE)
    return is_listed or os.path.ismount(path)


def _mount_points(table: Path, place: int) -> set[Path]:
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set()
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    # Blanks in names are octal.
    return {
        Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), each[place]))
        for each in fields
        if len(each) > place and each[place].startswith("/")
    }
