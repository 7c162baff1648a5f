"""Clean clips to measure with, as frames in memory."""

import itertools
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.io import open_source

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".y4m", ".ts")


def find_clips(path: Path) -> list[Path]:
    """The videos of a folder, sorted, or the one file.

    Raises:
        ConfigError: there is none.
    """
    if path.is_file():
        return [path]
    found = (
        sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
        if path.is_dir()
        else []
    )
    if not found:
        raise ConfigError(
            f"{path} holds no clean clips; give a folder with "
            f"{', '.join(VIDEO_SUFFIXES)} files"
        )
    return found


def read_clip(path: Path, frames: int) -> list[Frame]:
    """The first frames of a video as 8-bit yuv420p.

    Raises:
        SourceError: it does not decode.
        ConfigError: it has no frame.
    """
    with open_source(str(path), pix_fmt="yuv420p") as source:
        clip = list(itertools.islice(source, frames))
    if not clip:
        raise ConfigError(f"{path} gave no frame; give a video")
    return clip
