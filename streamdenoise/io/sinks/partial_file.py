"""Output files that keep a temporary name until they are complete."""

import logging
import os
from contextlib import suppress
from pathlib import Path

from streamdenoise.errors import SinkError
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.output_folders import why_no_file

log = logging.getLogger(__name__)


class PartialFile:
    """Reserves ``NAME.part.EXT`` next to `target` and renames it at the end.

    Unlike `files.replaced_whole`, it is made for results that take hours to write: the
    file can be played at any time, is kept after a failure, and is easy to find after a
    crash.

    Raises:
        SinkError: `target` exists and may not be replaced, or its folder is not
            writable. Nothing has been changed then.

    Attributes:
        path: The temporary name.
        target: The final name.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self.target = target
        self._overwrite = overwrite
        if os.path.isdir(target):
            raise SinkError(f"{target} is a folder; give the name of a file in it")
        if os.path.exists(target) and not overwrite:
            raise SinkError(f"{target} already exists; add --overwrite to replace it")
        self.path, self.is_first = self._reserve()

    def _reserve(self) -> tuple[Path, bool]:
        number = 1
        while True:
            mark = ".part" if number == 1 else f".part{number}"
            path = self.target.with_name(
                f"{self.target.stem}{mark}{self.target.suffix}"
            )
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except FileExistsError:
                number += 1  # left by a crash, or in use by another run
            except OSError as exc:
                raise SinkError(
                    f"{self.target} cannot be written: "
                    f"{why_no_file(self.target.parent, exc)}"
                ) from exc
            else:
                return path, number == 1

    def commit(self) -> None:
        """Give the file its final name.

        Raises:
            SinkError: Another file has that name by now, or the rename failed. The file
                keeps its temporary name, which is part of the message.
        """
        if os.path.exists(self.target) and not self._overwrite:
            raise SinkError(
                f"{self.target} was created by another program meanwhile; "
                f"the result is kept as {self.path}"
            )
        try:
            os.replace(self.path, self.target)
        except OSError as exc:
            raise SinkError(
                f"{self.target} cannot be written: {reason(exc)}; "
                f"the result is kept as {self.path}"
            ) from exc

    def give_up(self, *, is_recording: bool) -> None:
        """End after a failure: only a recording gets its final name, if that is free.

        A recording is whole whenever it ends. Part of a file is not: scripts would take
        it for the result.
        """
        if is_recording and not os.path.exists(self.target):
            with suppress(OSError):
                os.replace(self.path, self.target)
                return
        log.warning(
            "%s is unfinished; what was written so far is kept as %s",
            self.target,
            self.path,
        )

    def discard(self) -> None:
        """Remove the temporary file."""
        self.path.unlink(missing_ok=True)
