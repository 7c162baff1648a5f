"""Real disks that fill up, hang or vanish; only root can mount them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from tests.support.skips import skip_or_fail


def _as_root(*command: object) -> None:
    words = list(map(str, command))
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as exc:
        skip_or_fail("root", f"{words[0]} cannot be run: {exc}")
    if done.returncode != 0:
        skip_or_fail("root", f"{words[0]} needs root: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[Path]:
    """A separate disk of `size` in `folder`, which is created."""
    folder.mkdir()
    _as_root("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def bound(folder: Path, place: Path) -> Iterator[Path]:
    """`folder` mounted at `place`, too, which is created."""
    place.mkdir()
    _as_root("mount", "--bind", folder, place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@cache
def can_mount() -> bool:
    """Whether disks can be mounted here, for programs that do without otherwise."""
    with TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "tmpfs", folder]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError:
            return False
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return done.returncode == 0


class LoopDisk:
    """A disk in `path`, in a file beside it.

    On request it hangs, when each write waits until `thaw`, or is full. It keeps its
    files if it is unmounted and mounted again.
    """

    def __init__(self, folder: Path, size_mb: int = 32) -> None:
        self._size_mb = size_mb
        self.path = folder / "disk"
        self._image = folder / "disk.img"
        self._is_frozen = False

    def __enter__(self) -> Self:
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(self._size_mb << 20)
        _as_root("mkfs.ext4", "-q", self._image)
        self.mount()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.thaw()
        if self.path.is_mount():
            self.unmount()

    def mount(self) -> None:
        _as_root("mount", "-o", "loop", self._image, self.path)

    def unmount(self) -> None:
        """Take it away at once; files that are open stay open."""
        _as_root("umount", "--lazy", self.path)

    def freeze(self) -> None:
        _as_root("fsfreeze", "--freeze", self.path)
        self._is_frozen = True

    def thaw(self) -> None:
        if self._is_frozen:
            subprocess.run(["fsfreeze", "--unfreeze", self.path], check=True)
            self._is_frozen = False

    def fill(self) -> None:
        """Leave no room, until `free`."""
        place = os.statvfs(self.path)
        size, offset = place.f_bfree * place.f_frsize, 0
        with (self.path / "theirs").open("wb") as file:
            while size >= place.f_frsize:
                try:
                    os.posix_fallocate(file.fileno(), offset, size)
                except OSError:
                    size //= 2
                else:
                    offset += size

    def free(self) -> None:
        (self.path / "theirs").unlink()
