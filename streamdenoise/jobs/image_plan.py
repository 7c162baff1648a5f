"""Which file each image becomes, decided before any work."""

import os
from dataclasses import dataclass
from pathlib import Path

from streamdenoise.errors import ConfigError, SinkError, SourceOpenError
from streamdenoise.io.image_paths import (
    has_number,
    image_paths,
    images_below,
    is_image,
    is_pattern,
    numbered,
    sequence,
)
from streamdenoise.io.options import IMAGE_SUFFIXES, VIDEO_OUTPUTS
from streamdenoise.jobs.config import ImageConfig

_READ_ONLY = (
    *(".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".exr", ".hdr", ".dpx"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".tga", ".psd", ".sgi", ".qoi"),
)
"""Images that are read through FFmpeg, if at all, and become PNG in folders."""


@dataclass(frozen=True, slots=True)
class ImageTask:
    """One file to denoise."""

    source: str
    target: str
    reference: str | None = None
    is_one_of_folder: bool = False
    """Whether it is left out with a note if it cannot be read."""


@dataclass(frozen=True, slots=True)
class _Found:
    source: str
    name: Path
    """Where it is in its folder."""
    number: int | None = None
    is_one_of_folder: bool = False


def plan_images(config: ImageConfig) -> tuple[list[ImageTask], list[str]]:
    """The files to denoise, and notes about what is left out.

    Raises:
        ConfigError: The output does not fit the inputs, or two of them have one name.
        SinkError: A file would be overwritten.
        SourceOpenError: A file is missing, or a folder has no images.
    """
    notes: list[str] = []
    found: list[_Found] = []
    for source in config.sources:
        found += _found(source, config, notes)
    targets = _targets(found, config)
    _check_clashes(found, targets)
    for each in found:
        if is_image(Path(each.source)):
            _check_exists(each.source)
    if not config.overwrite:
        for target in targets:
            if target != "null:" and os.path.isfile(target):
                raise SinkError(
                    f"{target} already exists; add --overwrite to replace it"
                )
    references = _references(found, config)
    tasks = [
        ImageTask(each.source, target, reference, each.is_one_of_folder)
        for each, target, reference in zip(found, targets, references, strict=True)
    ]
    return tasks, notes


def _check_exists(source: str) -> None:
    try:
        os.stat(source)
    except FileNotFoundError:
        raise SourceOpenError(f"{source}: no such file; check the name") from None
    except OSError as exc:
        why = str(exc.strerror).lower()
        raise SourceOpenError(f"{source} cannot be opened: {why}") from exc


def _found(source: str, config: ImageConfig, notes: list[str]) -> list[_Found]:
    path = Path(source)
    if is_pattern(path):
        paths, missing = sequence(path)
        notes += [note.partition(";")[0] for note in missing]
        return [
            _Found(str(each), Path(each.name), number) for number, each in paths.items()
        ]
    if not os.path.isdir(path):
        return [_Found(source, Path(path.name))]
    every = images_below(path)
    chosen = every if config.recursive else image_paths(path)
    if not chosen:
        image_paths(path)  # says which suffixes there are
    output = Path(config.output).resolve()
    if output != path.resolve():
        chosen = [each for each in chosen if output not in each.resolve().parents]
    deeper = len(every) - len(chosen)
    if deeper and not config.recursive:
        notes.append(
            f"{path}: {deeper} images in folders below are left out; add --recursive "
            "for them"
        )
    return [
        _Found(str(each), each.relative_to(path), is_one_of_folder=True)
        for each in chosen
    ]


def _targets(found: list[_Found], config: ImageConfig) -> list[str]:
    if config.output == "null:":
        return ["null:"] * len(found)
    output = Path(config.output)
    is_folder = config.output.endswith(("/", "\\")) or os.path.isdir(output)
    several = len(found) > 1 or any(each.is_one_of_folder for each in found)
    if has_number(output) and is_image(output) and not is_folder:
        if len(found) == 1 and found[0].number is None:
            return [config.output]  # for its pages
        places = range(len(found))
        return [
            str(numbered(output, place if each.number is None else each.number))
            for place, each in zip(places, found, strict=True)
        ]
    if not is_folder and (is_image(output) or output.suffix.lower() in VIDEO_OUTPUTS):
        if several:
            raise ConfigError(
                f"-o {config.output} is one file, but there are several images to "
                "write; give a folder"
            )
        return [config.output]
    if output.suffix.lower() in _READ_ONLY and not is_folder:
        raise ConfigError(
            f"-o {config.output}: {output.suffix} cannot be written; use one of "
            f"{', '.join(IMAGE_SUFFIXES)}"
        )
    return [_in_folder(output, each, several) for each in found]


def _in_folder(output: Path, found: _Found, several: bool) -> str:
    if is_image(Path(found.source)):
        return str(output / found.name)
    if found.name.suffix.lower() in _READ_ONLY:
        return str(output / found.name.with_suffix(".png"))
    # Frames of a video.
    return str(output / found.name.stem if several else output) + "/"


def _check_clashes(found: list[_Found], targets: list[str]) -> None:
    taken: dict[str, str] = {}
    for each, target in zip(found, targets, strict=True):
        if target in taken and target != "null:":
            raise ConfigError(
                f"{taken[target]} and {each.source} would both become {target}; "
                "rename one, or give them one by one with other outputs"
            )
        taken[target] = each.source


def _references(found: list[_Found], config: ImageConfig) -> list[str | None]:
    if config.reference is None:
        return [None] * len(found)
    folder = Path(config.reference)
    if not os.path.isdir(folder):
        if len(found) > 1:
            raise ConfigError(
                f"--reference {folder} is one file, but there are {len(found)} images; "
                "give a folder with a file of the same name for each"
            )
        return [config.reference]
    references = [folder / each.name for each in found]
    missing = [each for each in references if not os.path.isfile(each)]
    if missing:
        raise ConfigError(
            f"--reference {folder} has no {missing[0].relative_to(folder)}; it needs a "
            "file of the same name for each image"
        )
    return [str(each) for each in references]
