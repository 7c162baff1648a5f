"""Clean pictures to learn from and to be tested on."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from streamdenoise.errors import ConfigError, SourceOpenError
from streamdenoise.imaging.color import rgb_to_gray
from streamdenoise.io.options import IMAGE_SUFFIXES
from streamdenoise.io.sources.image import is_cut_short, read_image

from .idx import is_idx, read_idx

MNIST = Path("data/mnist")
"""Where ``--data mnist`` looks, from the working directory."""


@dataclass(frozen=True, slots=True)
class Images:
    """Images as they were read."""

    arrays: list[np.ndarray]
    """Each ``(H, W, C)``, of 1 or 3 channels (RGB): ``uint8``, or floats that are
    nominally in [0, 1]."""
    are_photos: bool
    """Whether they are files of their own, rather than an IDX file's small ones."""
    notes: list[str] = field(default_factory=list)
    """What the user should know: what was left out, or converted."""

    def pick(self, indices: np.ndarray) -> "Images":
        """Some of them."""
        return Images([self.arrays[i] for i in indices], self.are_photos)

    def cropped(self, side: int) -> "Images":
        """The middle of each, `side` pixels at most."""
        return Images([_middle(array, side) for array in self.arrays], self.are_photos)

    @property
    def smallest(self) -> int:
        """The shortest side of all."""
        return min(min(array.shape[:2]) for array in self.arrays)

    @property
    def digest(self) -> str:
        """Another one for other pictures, or another order."""
        digest = hashlib.sha256()
        for array in self.arrays:
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    @property
    def is_nominal(self) -> bool:
        """Whether all samples are in [0, 1], as the networks see them."""
        return all(
            array.dtype == np.uint8 or (array.min() >= 0 and array.max() <= 1)
            for array in self.arrays
        )


def read_images(data: str, channels: int, *, resize: int = 0, least: int = 1) -> Images:
    """Read all pictures of a folder, or of IDX files; copies are left out.

    Args:
        data: ``mnist``, an IDX file, a folder of those, or one of pictures.
        channels: 1 for gray, to which color is converted, or 3.
        resize: make all squares of this side, in pixels; 0 leaves them.
        least: smaller pictures of a folder are left out.

    Raises:
        SourceOpenError: an IDX file cannot be used.
        ConfigError: there is nothing to read, or IDX files do not go together.
    """
    path = MNIST if data == "mnist" else Path(data)
    if not path.exists():
        hint = (
            "; put t10k-images-idx3-ubyte.gz there, or name another folder"
            if data == "mnist"
            else "; give mnist, an IDX file, or a folder of pictures"
        )
        raise ConfigError(f"there are no pictures at {path}{hint}")
    files = _files(path)
    photos = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    others = [file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
    tables = [file for file in others if _seems_idx(file) or file == path]
    if tables:
        pictures = _read_tables(tables, channels, resize)
        if photos:
            pictures.notes.append(
                f"{len(photos)} files beside the IDX files of {path} are left out"
            )
        return _each_once(pictures)
    pictures = _read_photos(photos, channels, resize, least)
    if not pictures.arrays:
        raise ConfigError(
            f"no picture in {path} can be used: "
            f"{'; '.join(pictures.notes) or 'it has none'}; give a folder of "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} files of {least} pixels a side or "
            "more"
        )
    return _each_once(pictures)


def _files(path: Path) -> list[Path]:
    """The file itself, or all files of a folder and its folders.

    Raises:
        ConfigError: a folder cannot be looked into.
    """

    def refuse(exc: OSError) -> None:
        raise ConfigError(f"{exc.filename} cannot be read: {exc.strerror}") from exc

    if path.is_file():
        return [path]
    found = [
        Path(folder) / name
        for folder, _, names in os.walk(path, onerror=refuse)
        for name in names
    ]
    return sorted(file for file in found if file.is_file())


def _seems_idx(file: Path) -> bool:
    """By its name too: a spoilt one is to be named, not passed over."""
    return ("-images" in file.name and "idx" in file.name) or is_idx(file)


def _read_tables(files: list[Path], channels: int, resize: int) -> Images:
    arrays = [picture for file in files for picture in read_idx(file)]
    if len({(array.shape, array.dtype) for array in arrays}) > 1:
        raise ConfigError(
            f"the IDX files of {files[0].parent} have pictures of several sizes or "
            "types; name one of them"
        )
    notes = []
    if arrays[0].shape[2] < channels:
        arrays = [np.repeat(array, channels, 2) for array in arrays]
    elif arrays[0].shape[2] > channels:
        arrays = [rgb_to_gray(array)[..., None] for array in arrays]
        notes = ["color was converted to gray"]
    return Images([_resized(array, resize) for array in arrays], False, notes)


def _each_once(pictures: Images) -> Images:
    """Without copies, as one could be learned from and the other tested on."""
    kept: dict[str, np.ndarray] = {}
    for array in pictures.arrays:
        kept.setdefault(Images([array], pictures.are_photos).digest, array)
    arrays = list(kept.values())
    copies = len(pictures.arrays) - len(arrays)
    notes = [f"left out, as copies of others: {copies}"] if copies else []
    return Images(arrays, pictures.are_photos, [*pictures.notes, *notes])


def _read_photos(files: list[Path], channels: int, resize: int, least: int) -> Images:
    arrays: list[np.ndarray] = []
    broken, small, colored = [], [], 0
    for file in files:
        try:
            picture, _ = read_image(file)
        except SourceOpenError:
            picture = None
        if picture is None or is_cut_short(file.read_bytes()):
            broken.append(file.name)
            continue
        if channels == 1:
            colored += bool((picture != picture[..., :1]).any())
            picture = rgb_to_gray(picture)[..., None]
        picture = _resized(picture, resize)
        if min(picture.shape[:2]) < least:
            small.append(file.name)
            continue
        arrays.append(picture)
    notes = [
        f"{len(names)} {what}, left out: {', '.join(names[:5])}"
        + (" ..." if len(names) > 5 else "")
        for names, what in (
            (broken, "cannot be read as pictures"),
            (small, f"smaller than {least} pixels"),
        )
        if names
    ]
    if colored:
        notes.append(f"{colored} color pictures were converted to gray")
    return Images(arrays, True, notes)


def split(
    pictures: Images, train_share: float, seed: int
) -> tuple[Images, Images, Images]:
    """Images to train on, to choose by, and to test on.

    A tenth of the training part is kept apart to stop early by: what is tested on is
    never chosen by.

    Raises:
        ConfigError: there are too few.
    """
    count = len(pictures.arrays)
    order = np.random.default_rng(seed).permutation(count)
    last = round(count * train_share)
    first = last - max(1, last // 10)
    if first < 1 or last >= count:
        raise ConfigError(
            f"{count} pictures cannot be split {train_share:.0%} to train and the rest "
            "to test; give more of them, or another --split"
        )
    parts = (order[:first], order[first:last], order[last:])
    train, validation, test = (pictures.pick(part) for part in parts)
    return train, validation, test


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of clean crops to learn from, the same for a seed and an epoch."""

    pictures: Images
    batch: int
    crop: int
    """Side of the crops in pixels; 0 takes whole pictures, which must be of one size.
    """
    crops: int
    """Of each picture in an epoch."""
    augment: bool
    """Flip, turn and scale."""
    seed: int

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Tensors ``(N, C, H, W)``."""
        rng = np.random.default_rng((self.seed, number))
        order = rng.permutation(
            np.tile(np.arange(len(self.pictures.arrays)), self.crops)
        )
        for start in range(0, len(order), self.batch):
            chosen = (
                self.pictures.arrays[i] for i in order[start : start + self.batch]
            )
            yield stacked([self._example(array, rng) for array in chosen])

    def _example(self, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = array.shape[:2]
        target = (self.crop, self.crop) if self.crop else (height, width)
        if self.augment or self.crop:
            array = self._window(array, target, rng)
        if self.augment:
            array = array[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
            turns = 1 if target[0] == target[1] else 2
            array = np.rot90(array, turns * int(rng.integers(4)))
        return array

    def _window(
        self, array: np.ndarray, target: tuple[int, int], rng: np.random.Generator
    ) -> np.ndarray:
        """A part of the picture, scaled: down where there is room, else up a little."""
        scale = 1.0
        if self.augment:
            room = min(n / t for n, t in zip(array.shape[:2], target, strict=True))
            low, high = (1.0, min(room, 1.5)) if room > 1 else (0.8, 1.0)
            scale = rng.uniform(low, high)
        size = [max(1, int(side * scale)) for side in target]
        top, left = (
            rng.integers(n - part + 1)
            for n, part in zip(array.shape[:2], size, strict=True)
        )
        window = array[top : top + size[0], left : left + size[1]]
        return window if size == [*target] else _scaled(window, *target)


def stacked(arrays: list[np.ndarray]) -> Tensor:
    """Images of one size as ``(N, C, H, W)`` float32."""
    whole = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    whole = whole.contiguous()
    return whole.float() / 255 if whole.dtype == torch.uint8 else whole


def by_shape(pictures: Images, pixels: int = 1 << 17) -> Iterator[Tensor]:
    """All pictures in order, neighbors of one size together, `pixels` at most."""
    group: list[np.ndarray] = []
    for array in pictures.arrays:
        full = len(group) * array.shape[0] * array.shape[1] >= pixels
        if group and (full or array.shape != group[0].shape):
            yield stacked(group)
            group = []
        group.append(array)
    if group:
        yield stacked(group)


def _middle(array: np.ndarray, side: int) -> np.ndarray:
    parts = [
        slice((n - min(n, side)) // 2, (n + min(n, side)) // 2) for n in array.shape[:2]
    ]
    return array[*parts]


def _resized(array: np.ndarray, side: int) -> np.ndarray:
    return _scaled(array, side, side) if side else array


def _scaled(array: np.ndarray, height: int, width: int) -> np.ndarray:
    smaller = height * width < array.shape[0] * array.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(array), (width, height), interpolation=how)
    return scaled.reshape(height, width, array.shape[2])
