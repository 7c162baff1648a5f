"""Clean images for training and testing."""

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
from streamdenoise.io.pictures.picture import is_cut_short
from streamdenoise.io.sources.image import read_image

from .idx import is_idx, read_idx

NAMED = {
    "mnist": (Path("data/mnist"), "t10k-images-idx3-ubyte.gz"),
    "fashion": (Path("data/fashion"), "the images of Fashion-MNIST as an IDX file"),
}
"""Names in ``--data`` -> folder in the working directory, and what belongs there."""


@dataclass(frozen=True, slots=True)
class Images:
    """Images as they were read."""

    arrays: list[np.ndarray]
    """Each ``(H, W, C)`` with 1 or 3 channels (RGB): ``uint8``, or floats that are
    nominally in [0, 1]."""
    are_photos: bool
    """Whether each is a separate file, and not a small image of an IDX file."""
    notes: list[str] = field(default_factory=list)
    """Remarks for the user, such as images that were left out or converted."""

    def pick(self, indices: np.ndarray) -> "Images":
        """A selection of the images."""
        return Images([self.arrays[i] for i in indices], self.are_photos)

    def cropped(self, side: int) -> "Images":
        """The middle of each image, of at most `side` pixels a side."""
        return Images([_middle(array, side) for array in self.arrays], self.are_photos)

    @property
    def smallest(self) -> int:
        """The shortest side of all images, in pixels."""
        return min(min(array.shape[:2]) for array in self.arrays)

    @property
    def digest(self) -> str:
        """A hash of the images and their order."""
        digest = hashlib.sha256()
        for array in self.arrays:
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    @property
    def is_nominal(self) -> bool:
        """Whether all samples are in [0, 1] after scaling ``uint8`` to it."""
        return all(
            array.dtype == np.uint8 or (array.min() >= 0 and array.max() <= 1)
            for array in self.arrays
        )


def read_images(data: str, channels: int, *, resize: int = 0, least: int = 1) -> Images:
    """Read the images of a folder or of IDX files; duplicates are left out.

    Args:
        data: a key of `NAMED`, an IDX file, a folder of IDX files, or one of images.
        channels: 1 for gray, to which color is converted, or 3.
        resize: side in pixels of the squares that all are resized to; 0 for none.
        least: smaller images in a folder are left out.

    Raises:
        SourceOpenError: an IDX file cannot be used.
        ConfigError: there are no images, or IDX files do not match.
    """
    path, content = NAMED.get(data, (Path(data), ""))
    if not path.exists():
        hint = (
            f"; put {content} there, or name another folder"
            if content
            else f"; give {', '.join(NAMED)}, an IDX file, or a folder of images"
        )
        raise ConfigError(f"there are no images at {path}{hint}")
    files = _files(path)
    photos = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    others = [file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
    tables = [file for file in others if _seems_idx(file) or file == path]
    if tables:
        images = _read_tables(tables, channels, resize)
        if photos:
            images.notes.append(
                f"{len(photos)} files next to the IDX files of {path} are left out"
            )
        return _each_once(images)
    images = _read_photos(photos, channels, resize, least)
    if not images.arrays:
        raise ConfigError(
            f"no image in {path} can be used: "
            f"{'; '.join(images.notes) or 'it has none'}; give a folder of "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} files of {least} pixels a side or "
            "more"
        )
    return _each_once(images)


def _files(path: Path) -> list[Path]:
    """The file itself, or all files of a folder and its subfolders.

    Raises:
        ConfigError: a folder cannot be read.
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
    """Whether it is an IDX file; by its name too, so that a damaged one is reported."""
    return ("-images" in file.name and "idx" in file.name) or is_idx(file)


def _read_tables(files: list[Path], channels: int, resize: int) -> Images:
    arrays = [image for file in files for image in read_idx(file)]
    if len({(array.shape, array.dtype) for array in arrays}) > 1:
        raise ConfigError(
            f"the IDX files of {files[0].parent} have images of several sizes or "
            "types; name one of them"
        )
    notes = []
    if arrays[0].shape[2] < channels:
        arrays = [np.repeat(array, channels, 2) for array in arrays]
    elif arrays[0].shape[2] > channels:
        arrays = [rgb_to_gray(array)[..., None] for array in arrays]
        notes = ["color was converted to gray"]
    return Images([_resized(array, resize) for array in arrays], False, notes)


def _each_once(images: Images) -> Images:
    """Remove duplicates: one could be trained on and the other tested on."""
    kept: dict[str, np.ndarray] = {}
    for array in images.arrays:
        kept.setdefault(Images([array], images.are_photos).digest, array)
    arrays = list(kept.values())
    copies = len(images.arrays) - len(arrays)
    notes = [f"left out as duplicates: {copies}"] if copies else []
    return Images(arrays, images.are_photos, [*images.notes, *notes])


def _read_photos(files: list[Path], channels: int, resize: int, least: int) -> Images:
    arrays: list[np.ndarray] = []
    broken, small, colored = [], [], 0
    for file in files:
        try:
            image, _ = read_image(file)
        except SourceOpenError:
            image = None
        if image is None or is_cut_short(file.read_bytes()):
            broken.append(file.name)
            continue
        if channels == 1:
            colored += bool((image != image[..., :1]).any())
            image = rgb_to_gray(image)[..., None]
        image = _resized(image, resize)
        if min(image.shape[:2]) < least:
            small.append(file.name)
            continue
        arrays.append(image)
    notes = [
        f"{len(names)} {what}, left out: {', '.join(names[:5])}"
        + (" ..." if len(names) > 5 else "")
        for names, what in (
            (broken, "cannot be read as images"),
            (small, f"smaller than {least} pixels"),
        )
        if names
    ]
    if colored:
        notes.append(f"{colored} color images were converted to gray")
    return Images(arrays, True, notes)


def split(
    images: Images, train_share: float, seed: int
) -> tuple[Images, Images, Images]:
    """Split images into those for training, for validation, and for testing.

    A tenth of the training part becomes the validation part, which decides when to stop
    early; the test part decides nothing.

    Raises:
        ConfigError: there are too few images.
    """
    count = len(images.arrays)
    order = np.random.default_rng(seed).permutation(count)
    last = round(count * train_share)
    first = last - max(1, last // 10)
    if first < 1 or last >= count:
        raise ConfigError(
            f"{count} images cannot be split into {train_share:.0%} for training and "
            "the rest for testing; give more images, or another --split"
        )
    parts = (order[:first], order[first:last], order[last:])
    train, validation, test = (images.pick(part) for part in parts)
    return train, validation, test


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of clean crops for training, fixed by the seed and the epoch."""

    images: Images
    batch: int
    crop: int
    """Side of the crops in pixels; 0 uses whole images, which must be of one size."""
    crops: int
    """Number of crops of each image in an epoch."""
    augment: bool
    """Whether to flip, rotate and scale."""
    seed: int

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Yield the batches of an epoch, ``(N, C, H, W)`` in [0, 1]."""
        rng = np.random.default_rng((self.seed, number))
        order = rng.permutation(np.tile(np.arange(len(self.images.arrays)), self.crops))
        for start in range(0, len(order), self.batch):
            chosen = (self.images.arrays[i] for i in order[start : start + self.batch])
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
        """A part of the image: downscaled if possible, else slightly upscaled."""
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
    """Images of one size as ``(N, C, H, W)`` float32 in [0, 1]."""
    whole = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
    whole = whole.contiguous()
    return whole.float() / 255 if whole.dtype == torch.uint8 else whole


def by_shape(images: Images, pixels: int = 1 << 17) -> Iterator[Tensor]:
    """Yield all images in order, stacking neighbors of one size up to `pixels`."""
    group: list[np.ndarray] = []
    for array in images.arrays:
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
