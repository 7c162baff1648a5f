"""Folders that outputs go to, and why one does not take them."""

import os
from pathlib import Path

from streamdenoise.errors import SinkError
from streamdenoise.io.ffmpeg.errors import reason


def make_folder(folder: Path) -> None:
    """Create a folder for outputs, unless it exists.

    Raises:
        SinkError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        cause = reason(exc)
        if isinstance(exc, FileExistsError):
            cause = "a file has its name"
        elif isinstance(exc, FileNotFoundError):  # in folders such as /proc
            cause = "no folders can be created there"
        raise SinkError(
            f"the folder {folder} cannot be created: {cause}; choose another one"
        ) from exc


def why_no_file(folder: Path, exc: OSError) -> str:
    """Why a file could not be created in a folder, and what to do."""
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        if os.path.isdir(folder):  # such as /proc
            return f"no files can be created in {folder}; choose another folder"
        if os.path.exists(folder):
            return f"{folder} is not a folder; choose another one"
        return f"the folder {folder} does not exist; create it first"
    return f"{reason(exc)}; choose another folder"
