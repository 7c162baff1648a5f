"""Reading images from IDX files and folders, and drawing crops."""

import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from streamdenoise.errors import ConfigError, SourceOpenError
from streamdenoise.io.image_paths import image_paths
from tests.train.classic.material import bars, idx_bytes, imread
from train.classic.data import Batches, read_images, split, stacked
from train.classic.idx import read_idx


def test_idx_files_are_read_packed_or_not(tmp_path: Path) -> None:
    samples = bars(3)
    plain, packed, floats = (tmp_path / name for name in ("a", "b.gz", "c"))
    plain.write_bytes(idx_bytes(samples))
    packed.write_bytes(gzip.compress(idx_bytes(samples)))
    floats.write_bytes(idx_bytes(samples / 255, 0x0D))
    assert np.array_equal(read_idx(plain), samples[..., None])
    assert np.array_equal(read_idx(packed), samples[..., None])
    np.testing.assert_allclose(read_idx(floats), samples[..., None] / 255, rtol=1e-6)


def test_idx_files_can_have_colors(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3)).astype(np.uint8)
    path = tmp_path / "colors.idx"
    path.write_bytes(idx_bytes(colors))
    assert np.array_equal(np.stack(read_images(str(path), 3).arrays), colors)
    gray = read_images(str(path), 1)
    assert gray.arrays[0].shape == (8, 9, 1)
    assert gray.notes == ["color was converted to gray"]


def test_idx_files_in_a_folder_are_found_by_their_content(
    digits: Path, photos: Path
) -> None:
    folder = digits.parent / "mixed"
    folder.mkdir()
    digits.rename(folder / "anything")
    (folder / "labels").write_bytes(b"\0\0\x08\x01\0\0\0\x02ab")
    shutil.copy(photos / "a.png", folder / "my-images-idx.png")
    images = read_images(str(folder), 1)
    assert len(images.arrays) == 60
    assert not images.are_photos
    assert images.notes == [f"1 files next to the IDX files of {folder} are left out"]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda good: b"\x89PNG" + good[4:], "magic number is 89 50 4e 47"),
        (lambda good: b"\0\0\x08\x01" + good[4:], "magic number is 00 00 08 01"),
        (lambda good: good[:-1], "has 783 bytes, its header promises 784"),
        (lambda good: good + b"\0", "has 785 bytes, its header promises 784"),
        (lambda good: good[:7], "has 7 bytes"),
        (lambda good: good[:4] + bytes(12), "has no images"),
        (lambda good: b"\0\0\x0b" + good[3:], "magic number is 00 00 0b 03"),
        (lambda good: b"", "magic number is missing"),
        (lambda good: gzip.compress(good)[:-20], "cannot be read"),
        (lambda good: b"\x1f\x8b" + good, "cannot be read"),
    ],
)
def test_bad_idx_files_are_rejected(
    tmp_path: Path, spoil: Callable[[bytes], bytes], fault: str
) -> None:
    path = tmp_path / "x-images-idx3-ubyte"
    path.write_bytes(spoil(idx_bytes(bars(3))))
    with pytest.raises(SourceOpenError, match=fault):
        read_images(str(tmp_path), 1)


def test_notes_report_what_was_left_out_or_converted(photos: Path) -> None:
    gray = read_images(str(photos), 1, least=32)
    assert [array.shape for array in gray.arrays] == 4 * [(40, 50, 1)]
    assert gray.notes == [
        "1 cannot be read as images, left out: broken.jpg",
        "1 smaller than 32 pixels, left out: small.png",
        "3 color images were converted to gray",
    ]
    color = read_images(str(photos), 3, resize=24)
    assert {array.shape for array in color.arrays} == {(24, 24, 3)}
    assert color.notes == ["1 cannot be read as images, left out: broken.jpg"]
    with pytest.raises(ConfigError, match=r"5 smaller than 64.*left out: a\.png"):
        read_images(str(photos), 1, least=64)
    with pytest.raises(ConfigError, match="no images at"):
        read_images(str(photos / "none"), 1)


def test_duplicates_are_read_once(digits: Path, photos: Path) -> None:
    plain = digits.with_suffix("")
    plain.write_bytes(gzip.decompress(digits.read_bytes()))
    (digits.parent / "t10k-images-idx3-ubyte").mkdir()
    images = read_images(str(digits.parent), 1)
    assert len(images.arrays) == 60
    assert images.notes[-1] == "left out as duplicates: 60"
    (photos / "z.png").write_bytes((photos / "a.png").read_bytes())
    images = read_images(str(photos), 3, least=32)
    assert len(images.arrays) == 4
    assert images.notes[-1] == "left out as duplicates: 1"


def test_idx_files_that_do_not_match_are_rejected(digits: Path) -> None:
    other = digits.with_name("other-images-idx3-ubyte")
    other.write_bytes(idx_bytes(bars(3)[:, 1:]))
    with pytest.raises(ConfigError, match="several sizes or types; name one of them"):
        read_images(str(digits.parent), 1)
    other.write_bytes(idx_bytes(bars(3) / 255, 0x0D))
    with pytest.raises(ConfigError, match="several sizes or types; name one of them"):
        read_images(str(digits.parent), 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_images_are_left_out(photos: Path, suffix: str) -> None:
    whole = cv2.imencode(suffix, imread(photos / "a.png"))[1].tobytes()
    (photos / f"cut{suffix}").write_bytes(whole[: len(whole) * 3 // 4])
    images = read_images(str(photos), 3)
    assert images.notes[0] == (
        f"2 cannot be read as images, left out: broken.jpg, cut{suffix}"
    )
    assert len(images.arrays) == 5


def test_parts_are_disjoint_and_the_same_for_a_seed(digits: Path) -> None:
    images = read_images(str(digits), 1)
    orders = []
    for seed in (0, 0, 1):
        parts = split(images, 0.8, seed)
        assert [len(part.arrays) for part in parts] == [44, 4, 12]
        orders.append([id(array) for part in parts for array in part.arrays])
        assert len(set(orders[-1])) == 60
    assert orders[0] == orders[1] != orders[2]
    with pytest.raises(ConfigError, match="60 images cannot be split"):
        split(images, 0.995, 0)


def test_augmented_crops_have_one_size_and_differ(photos: Path) -> None:
    images = read_images(str(photos), 1, least=32)
    batches = Batches(images, 3, crop=32, crops=2, augment=True, seed=0)
    first, again, other = (list(batches.epoch(n)) for n in (0, 0, 1))
    assert [tuple(batch.shape) for batch in first] == [(3, 1, 32, 32)] * 2 + [
        (2, 1, 32, 32)
    ]
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    whole = replace(batches, crop=0, augment=False)
    assert sorted(float(x.sum()) for batch in whole.epoch(0) for x in batch) == sorted(
        2 * [float(stacked([array]).sum()) for array in images.arrays]
    )


def test_unreadable_folders_are_named(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(photos))

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read_images(str(photos), 1)
    with pytest.raises(SourceOpenError, match="cannot be read: permission denied"):
        image_paths(photos)
