"""The folders that engines are stored in."""

import os
from pathlib import Path

FOLDER_VARIABLE = "STREAMDENOISE_ENGINES"
"""Environment variable that names the folder of the engines."""


def default_folder() -> Path:
    """The folder that new engines are written to.

    It is the folder that `FOLDER_VARIABLE` names; otherwise ``engines`` in the current
    folder, if that exists; otherwise, or if that is not writable, the user's cache.
    """
    return first_writable(search_path(None))


def search_path(folder: Path | None) -> tuple[Path, ...]:
    """Folders to look for engines in, in this order.

    A writable folder that was named is the only one; others are followed by the user's
    cache.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if folder is None and named:
        folder = Path(named)
    if folder is not None and can_write(folder):
        return (folder,)
    here, cache = Path("engines"), cache_folder()
    first = folder or (here if here.is_dir() else cache)
    return tuple(dict.fromkeys((first, cache)))


def first_writable(folders: tuple[Path, ...]) -> Path:
    """The first folder that files can be written to, or the first of all."""
    return next(filter(can_write, folders), folders[0])


def can_write(folder: Path) -> bool:
    """Whether files can be written to a folder, even if it must be created first."""
    parents = folder.absolute().parents
    there = next(filter(os.path.exists, (folder, *parents)), folder)
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def cache_folder() -> Path:
    """Folder for engines in the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("streamdenoise", appauthor=False) / "engines"
