"""The folders that engines are kept in."""

import os
from pathlib import Path

FOLDER_VARIABLE = "STREAMDENOISE_ENGINES"
"""Environment variable that names the folder of the engines."""


def default_folder() -> Path:
    """Where engines go.

    The folder that `FOLDER_VARIABLE` names; else ``engines`` in the present folder, if
    it is there; else, or if that one cannot be written, the user's cache. A store finds
    engines in all of these that come into question, but beside a named folder that can
    be written in no other.
    """
    return _first_writable(_search_path(None))


def _search_path(folder: Path | None) -> tuple[Path, ...]:
    """`folder`, or what is meant without one, and the user's cache if it may matter."""
    named = os.environ.get(FOLDER_VARIABLE)
    if folder is None and named:
        folder = Path(named)
    if folder is not None and _can_write(folder):
        return (folder,)
    here, cache = Path("engines"), _cache_folder()
    first = folder or (here if here.is_dir() else cache)
    return tuple(dict.fromkeys((first, cache)))


def _first_writable(folders: tuple[Path, ...]) -> Path:
    return next(filter(_can_write, folders), folders[0])


def _can_write(folder: Path) -> bool:
    """Whether it takes files, or could be made."""
    parents = folder.absolute().parents
    there = next(filter(os.path.exists, (folder, *parents)), folder)
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("streamdenoise", appauthor=False) / "engines"
