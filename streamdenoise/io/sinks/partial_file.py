"""Output files that keep a temporary name until they are complete."""

import os
from pathlib import Path

from streamdenoise.errors import SinkError
from streamdenoise.io.ffmpeg.errors import reason


class PartialFile:
    """Reserves ``NAME.part.EXT`` beside `target` and renames it at the end.

    Other than `files.replaced_whole`, this is for results that take hours to write: a
    player can open the file at any time, a failure keeps it, and a crash leaves it
    where its owner finds it.

    Raises:
        SinkError: `target` exists and may not be replaced, or its folder cannot be
            written. Nothing has been touched then.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self._target = target
        self._overwrite = overwrite
        if target.is_dir():
            raise SinkError(f"{target} is a folder; name a file in it")
        if target.exists() and not overwrite:
            raise SinkError(f"{target} exists already; add --overwrite to replace it")
        if not target.parent.is_dir():
            raise SinkError(
                f"{target} cannot be written: the folder {target.parent} does not "
                "exist; make it first"
            )
        self.path = self._reserve()

    def _reserve(self) -> Path:
        number = 1
        while True:
            mark = ".part" if number == 1 else f".part{number}"
            path = self._target.with_name(
                f"{self._target.stem}{mark}{self._target.suffix}"
            )
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except FileExistsError:
                number += 1  # left by a crash, or another run writes it now
            except OSError as exc:
                raise SinkError(
                    f"{self._target} cannot be written: {reason(exc)}; "
                    "choose another folder"
                ) from exc
            else:
                return path

    def commit(self) -> None:
        """Give the file its final name.

        Raises:
            SinkError: The name was taken meanwhile, or the rename failed; the file
                keeps its temporary name, which the message tells.
        """
        if self._target.exists() and not self._overwrite:
            raise SinkError(
                f"{self._target} appeared meanwhile; the result is kept as {self.path}"
            )
        try:
            os.replace(self.path, self._target)
        except OSError as exc:
            raise SinkError(
                f"{self._target} cannot be written: {reason(exc)}; "
                f"the result is kept as {self.path}"
            ) from exc

    def commit_unless_replacing(self) -> Path:
        """The final name if it is free, else the temporary one: an unfinished result
        never replaces an older file.

        Returns:
            Where the file is now.
        """
        if self._target.exists():
            return self.path
        try:
            os.replace(self.path, self._target)
        except OSError:
            return self.path
        return self._target

    def discard(self) -> None:
        """Remove the temporary file."""
        self.path.unlink(missing_ok=True)
