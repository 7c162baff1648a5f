"""Which files a name stands for: one, those in a folder, or a numbered pattern."""

import os
import re
from itertools import pairwise
from pathlib import Path

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.options import IMAGE_SUFFIXES

_DIGITS = re.compile(r"(\d+)")
_NUMBER = re.compile(r"%(?:0(\d+))?d")
_MOST_NAMED = 5


def is_image(path: Path) -> bool:
    """Whether a file is one of images by its name."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def has_number(path: Path) -> bool:
    """Whether a name is one for numbered files, as ``img_%04d.png`` is."""
    return _NUMBER.search(path.name) is not None


def is_pattern(path: Path) -> bool:
    """Whether an input stands for numbered images, and is not the name of one file."""
    return has_number(path) and is_image(path) and not os.path.exists(path)


def numbered(path: Path, number: int) -> Path:
    """The file of a pattern that has this number."""
    name = _NUMBER.sub(lambda found: found[0] % number, path.name)
    return path.with_name(name)


def sequence(pattern: Path) -> tuple[dict[int, Path], list[str]]:
    """The files of a pattern by their numbers, in order, and notes on missing ones.

    Raises:
        SourceOpenError: There are none, or the folder cannot be read.
    """
    parts = _NUMBER.split(pattern.name, maxsplit=1)
    before, width, after = parts
    # With a width, numbers that need more digits have more.
    digits = rf"\d{{{int(width)},}}" if width else r"\d+"
    fits = re.compile(f"{re.escape(before)}({digits}){re.escape(after)}")
    try:
        found = [
            (int(match[1]), each)
            for each in pattern.parent.iterdir()
            if (match := fits.fullmatch(each.name)) and os.path.isfile(each)
        ]
    except OSError as exc:
        raise SourceOpenError(
            f"{pattern.parent} cannot be read: {reason(exc)}"
        ) from exc
    paths = {n: each for n, each in sorted(found) if numbered(pattern, n) == each}
    if not paths:
        raise SourceOpenError(
            f"{pattern}: no file fits this pattern, such as "
            f"{numbered(pattern, 1).name}; check the folder and the number of digits"
        )
    first, last = min(paths), max(paths)
    gaps = _gaps(list(paths))
    if not gaps:
        return paths, []
    names = ", ".join(gaps[:_MOST_NAMED])
    more = f" and {len(gaps) - _MOST_NAMED} more gaps" * (len(gaps) > _MOST_NAMED)
    return paths, [
        f"{pattern}: between {first} and {last} there is no number {names}{more}; "
        "the images before them are shown for longer"
    ]


def _gaps(numbers: list[int]) -> list[str]:
    return [
        f"{a + 1}" if b == a + 2 else f"{a + 1} to {b - 1}"
        for a, b in pairwise(numbers)
        if b > a + 1
    ]


def image_paths(path: Path) -> list[Path]:
    """`path` itself, or the images in this folder in natural order (2 before 10).

    Raises:
        SourceOpenError: The folder has no images, or cannot be read.
    """
    if not os.path.isdir(path):
        return [path]
    found = _images_in(path)
    if not found:
        raise SourceOpenError(
            f"{path} is a folder without images "
            f"({', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}); "
            "give a video file in it, or another folder"
        )
    return found


def images_below(folder: Path) -> list[Path]:
    """The images in this folder and in the folders in it, in natural order.

    Raises:
        SourceOpenError: A folder cannot be read.
    """
    found = _images_in(folder)
    try:
        inner = [each for each in folder.iterdir() if each.is_dir()]
    except OSError as exc:
        raise SourceOpenError(f"{folder} cannot be read: {reason(exc)}") from exc
    for each in sorted(inner, key=_natural_order):
        if not each.is_symlink():  # it could lead around in a circle
            found += images_below(each)
    return found


def _images_in(folder: Path) -> list[Path]:
    try:
        found = [each for each in folder.iterdir() if is_image(each) and each.is_file()]
    except OSError as exc:
        raise SourceOpenError(f"{folder} cannot be read: {reason(exc)}") from exc
    return sorted(found, key=_natural_order)


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = _DIGITS.split(path.name.casefold())
    # Text and numbers alternate, so that text is never compared with numbers.
    keyed = [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)]
    return keyed, path.name
