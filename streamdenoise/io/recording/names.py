"""File names of recordings: making them from the time, and finding them on disk."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

from streamdenoise.errors import ConfigError

# The strftime fields that a name may contain, and what they look like.
_FIELDS = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"0[1-9]|1[0-2]",
    "d": r"0[1-9]|[12]\d|3[01]",
    "j": r"00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6]",
    "H": r"[01]\d|2[0-3]",
    "M": r"[0-5]\d",
    "S": r"[0-5]\d",
    "f": r"\d{6}",
    "F": "",  # stands for %Y-%m-%d
    "s": r"\d+",
    "z": r"[+-](?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?",
    "%": "%",
}
_FIELD = re.compile(r"%(.?)", re.DOTALL)
_PARTIAL = re.compile(r"\.part\d*$", re.ASCII)


class SegmentNames:
    """A path with strftime fields, such as ``clips/%Y-%m-%d/%H-%M-%S.mkv``.

    A name that is taken gets ``-n2``, ``-n3``... before its extension, which no field
    looks like. That happens when the clock is set back, or if the fields are coarser
    than the segments.

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
        self._parts = [_FIELD.sub(_spelled_out, part) for part in parts[fixed:]]
        self.relative = "/".join(self._parts)
        """The pattern below `root`."""
        *folders, name = self._parts
        suffix = Path(name).suffix
        expressions = [_regex(part) for part in folders]
        expressions.append(
            _regex(name.removesuffix(suffix))
            + r"(?:-n\d{1,6})?(?:\.part\d*)?"
            + re.escape(suffix)
        )
        self._expressions = [re.compile(each, re.ASCII) for each in expressions]
        self._letters = [
            letter for letter in _FIELD.findall(self.relative) if letter != "%"
        ]

    def free_path(self, moment: datetime) -> Path:
        """A name for `moment` that no file has, not even one being written."""
        parts = [
            _FIELD.sub(lambda field: moment.strftime(field[0]), part)
            for part in self._parts
        ]
        return _free(self.root.joinpath(*parts))

    def final_path(self, partial: Path) -> Path:
        """A free name for `partial`, which was not completed."""
        return _free(finished_name(partial), but=partial)

    def find(self) -> Iterator[Path]:
        """Find all files with a name that a recording may have, even if unfinished.

        Links below `root` are not followed.
        """
        yield from self._find(self.root, self._expressions, ())

    def _find(
        self, folder: Path, below: list[re.Pattern[str]], values: tuple[str, ...]
    ) -> Iterator[Path]:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return  # missing
        for entry in entries:
            match = below[0].fullmatch(entry.name)
            if match is None:
                continue
            fields = (*values, *match.groups())
            with suppress(OSError):
                if len(below) > 1:
                    if entry.is_dir(follow_symlinks=False):
                        yield from self._find(Path(entry.path), below[1:], fields)
                elif entry.is_file(follow_symlinks=False) and _is_one_moment(
                    zip(self._letters, fields, strict=True)
                ):
                    yield Path(entry.path)

    def delete(self, path: Path) -> None:
        """Delete a recording, and dated folders that are empty then.

        Raises:
            OSError: The file cannot be deleted.
        """
        path.unlink(missing_ok=True)
        for folder in path.parents[: len(self._parts) - 1]:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty


def is_partial(path: Path) -> bool:
    """Whether `path` is the temporary name of a recording."""
    return _PARTIAL.search(path.stem) is not None


def finished_name(partial: Path) -> Path:
    """The name that a file with a temporary name will have."""
    return partial.with_name(_PARTIAL.sub("", partial.stem) + partial.suffix)


def _spelled_out(field: re.Match[str]) -> str:
    return "%Y-%m-%d" if field[1] == "F" else field[0]


def _regex(part: str) -> str:
    """A regular expression for a part of the path, with a group for each field."""
    literals = _FIELD.split(part)
    # The split returns text, field, text, field, ..., text.
    return "".join(
        re.escape(text)
        if index % 2 == 0
        else "%"
        if text == "%"
        else f"({_FIELDS[text]})"
        for index, text in enumerate(literals)
    )


def _is_one_moment(fields: Iterable[tuple[str, str]]) -> bool:
    """Whether there is a day with these values, each of which may come repeatedly."""
    values: dict[str, str] = {}
    for letter, value in fields:
        if values.setdefault(letter, value) != value:
            return False
    year = int(values.get("Y") or 2000 + int(values.get("y", "0")))
    try:
        first = date(year, 1, 1)
        day = date(year, int(values.get("m", "1")), int(values.get("d", "1")))
    except ValueError:
        return False
    of_year = int(values.get("j", "1"))
    return (
        values.get("y", f"{year % 100:02}") == f"{year % 100:02}"
        and of_year <= (date(year, 12, 31) - first).days + 1
        and (not {"m", "d", "j"} <= values.keys() or of_year == (day - first).days + 1)
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
        candidate = path.with_name(f"{path.stem}-n{number}{path.suffix}")
