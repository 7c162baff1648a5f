"""File names of recordings: making them from the time, and finding them on disk."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.io.recording.retention import Recording

# The strftime fields that a name may contain, and what they look like: recordings are
# deleted, so they must never be confused with other files.
_FIELDS = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"\d\d",
    "d": r"\d\d",
    "j": r"\d{3}",
    "H": r"\d\d",
    "M": r"\d\d",
    "S": r"\d\d",
    "f": r"\d{6}",
    "F": r"\d{4}-\d\d-\d\d",
    "s": r"\d+",
    "z": r"[+-]\d{4}(?:\d\d)?",
    "%": "%",
}
_FIELD = re.compile(r"%(.?)", re.DOTALL)
_PARTIAL = re.compile(r"\.part\d*$")


class SegmentNames:
    """A path with strftime fields, such as ``clips/%Y-%m-%d/%H-%M-%S.mkv``.

    A name that is taken gets ``-2``, ``-3``... before its extension. That happens when
    the clock is set back, or if the fields are coarser than the segments.

    Raises:
        ConfigError: The path has an unknown field, or none.
    """

    def __init__(self, pattern: str) -> None:
        fields = _FIELD.findall(pattern)
        unknown = [field for field in fields if field not in _FIELDS]
        if unknown:
            usable = " ".join(f"%{field}" for field in _FIELDS)
            raise ConfigError(
                f"{pattern} is not a valid pattern: it contains %{unknown[0]}; "
                f"use {usable}"
            )
        if not set(fields) - {"%"}:
            raise ConfigError(
                f"{pattern} would give all segments the same name; add a time, "
                "such as %Y-%m-%d_%H-%M-%S"
            )
        parts = Path(pattern).parts
        fixed = next(i for i, part in enumerate(parts) if "%" in part)
        self.root = Path(*parts[:fixed])
        """The folder that contains all recordings and dated folders."""
        self._parts = parts[fixed:]
        *folders, name = self._parts
        suffix = Path(name).suffix
        self._folders = [re.compile(_regex(part)) for part in folders]
        self._name = re.compile(
            _regex(name.removesuffix(suffix))
            + r"(?:-\d+)?(?:\.part\d*)?"
            + re.escape(suffix)
        )

    def free_path(self, moment: datetime) -> Path:
        """A name for `moment` that no file has, not even one being written."""
        parts = [
            _FIELD.sub(lambda field: moment.strftime(field[0]), part)
            for part in self._parts
        ]
        return _free(self.root.joinpath(*parts))

    def final_path(self, partial: Path) -> Path:
        """A free name for `partial`, which a crash left behind."""
        stem = _PARTIAL.sub("", partial.stem)
        return _free(partial.with_name(stem + partial.suffix), but=partial)

    @staticmethod
    def is_partial(path: Path) -> bool:
        """Whether `path` is the temporary name of a recording."""
        return _PARTIAL.search(path.stem) is not None

    def find(self) -> Iterator[Recording]:
        """Find all recordings; links below `root` are not followed."""
        yield from self._find(self.root, self._folders)

    def _find(self, folder: Path, below: list[re.Pattern[str]]) -> Iterator[Recording]:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return  # missing
        for entry in entries:
            with suppress(OSError):
                if below:
                    if below[0].fullmatch(entry.name) and entry.is_dir(
                        follow_symlinks=False
                    ):
                        yield from self._find(Path(entry.path), below[1:])
                elif self._name.fullmatch(entry.name) and entry.is_file(
                    follow_symlinks=False
                ):
                    stat = entry.stat(follow_symlinks=False)
                    yield Recording(Path(entry.path), stat.st_size, stat.st_mtime)

    def delete(self, path: Path) -> None:
        """Delete a recording, and dated folders that are empty then.

        Raises:
            OSError: The file cannot be deleted.
        """
        path.unlink(missing_ok=True)
        for folder in path.parents[: len(self._folders)]:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty


def _regex(part: str) -> str:
    """A regular expression for a part of the path with its fields filled in."""
    literals = _FIELD.split(part)
    # The split returns text, field, text, field, ..., text.
    return "".join(
        _FIELDS[text] if index % 2 else re.escape(text)
        for index, text in enumerate(literals)
    )


def _free(path: Path, but: Path | None = None) -> Path:
    """`path`, or the first numbered variant that no file has."""
    number, candidate = 1, path
    while True:
        partial = candidate.with_name(f"{candidate.stem}.part{candidate.suffix}")
        taken = [each for each in (candidate, partial) if each != but]
        if not any(os.path.lexists(each) for each in taken):
            return candidate
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
