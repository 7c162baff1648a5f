"""Clean clips to measure with, as frames in memory."""

import itertools
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.io import IMAGE_SUFFIXES, open_source

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".y4m", ".ts")


def find_clips(path: Path) -> list[Path]:
    """The videos of a folder, sorted, or the one file.

    The pictures of a folder without videos are taken too, each a clip of one frame.

    Raises:
        ConfigError: there is none.
    """
    if path.is_file():
        return [path]
    for suffixes in (VIDEO_SUFFIXES, IMAGE_SUFFIXES) if path.is_dir() else ():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes)
        if found:
            return found
    raise ConfigError(
        f"{path} holds no clean clips; give a folder with "
        f"{', '.join((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))} files"
    )


def read_clip(path: Path, frames: int, pix_fmt: str = "yuv420p") -> list[Frame]:
    """The first frames of a video, or a picture, in one of `PIX_FMTS`.

    Raises:
        SourceError: it does not decode.
        ConfigError: it has no frame.
    """
    with open_source(str(path), pix_fmt=pix_fmt) as source:
        clip = list(itertools.islice(source, frames))
    if not clip:
        raise ConfigError(f"{path} gave no frame; give a video")
    return clip
