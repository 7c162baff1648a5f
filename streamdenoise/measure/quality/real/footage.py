"""The noisy clips and the folders of pairs in a folder of real footage."""

from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.measure.clips import VIDEO_SUFFIXES, find_clips
from streamdenoise.measure.quality.pairs import has_pairs


def find_footage(path: Path) -> tuple[list[Path], list[Path]]:
    """The clips of a folder, and those of it and its folders that hold pairs.

    If there are no videos and no pairs, images are clips of one frame each.

    Raises:
        ConfigError: There is nothing to measure.
    """
    if not path.is_dir():
        if not path.is_file():
            raise ConfigError(f"{path} does not exist; give a noisy video or a folder")
        return [path], []
    folders = [path, *sorted(each for each in path.iterdir() if each.is_dir())]
    pairs = [folder for folder in folders if has_pairs(folder)]
    if pairs and not any(p.suffix.lower() in VIDEO_SUFFIXES for p in path.iterdir()):
        return [], pairs
    return find_clips(path), pairs
