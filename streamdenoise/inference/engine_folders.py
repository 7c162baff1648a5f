"""The folders that engines are stored in."""

import os
from pathlib import Path

from streamdenoise.security.ownership import why_others_write

FOLDER_VARIABLE = "STREAMDENOISE_ENGINES"
"""Environment variable that names the folder of the engines."""


def default_folder() -> Path:
    """The folder that new engines are written to.

    It is the folder that `FOLDER_VARIABLE` names; otherwise ``engines`` in the current
    folder, if that exists; otherwise, or if that cannot be used, the user's cache.
    """
    return first_usable(search_path(None))


def search_path(folder: Path | None) -> tuple[Path, ...]:
    """Folders to look for engines in, in this order.

    A folder that was named and can be used is the only one; others are followed by the
    user's cache.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if folder is None and named:
        folder = Path(named)
    if folder is not None and can_use(folder):
        return (folder,)
    here, cache = Path("engines"), cache_folder()
    first = folder or (here if here.is_dir() else cache)
    return tuple(dict.fromkeys((first, cache)))


def first_usable(folders: tuple[Path, ...]) -> Path:
    """The first folder that can be used, or the first of all."""
    return next(filter(can_use, folders), folders[0])


def can_use(folder: Path) -> bool:
    """Whether we can write to a folder, which may have to be created, and only we."""
    parents = folder.absolute().parents
    there = next(filter(os.path.exists, (folder, *parents)), folder)
    is_writable = os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)
    return is_writable and not why_others_write(folder)


def make_folder(folder: Path) -> None:
    """Create a folder that only we can write to, and those above it.

    Raises:
        OSError: It cannot be created.
    """
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir(0o755, exist_ok=True)


def cache_folder() -> Path:
    """Folder for engines in the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("streamdenoise", appauthor=False) / "engines"
