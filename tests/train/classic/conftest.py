"""Fixtures of the tests of the textbook networks."""

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.train.classic.material import bars, idx_bytes


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "bars-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(bars())))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two color images, a gray one, a small one and a broken one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (40, 50, 3), np.uint8))
    cv2.imwrite(str(folder / "gray.png"), rng.integers(0, 255, (40, 50), np.uint8))
    cv2.imwrite(str(folder / "small.png"), np.zeros((9, 50, 3), np.uint8))
    (folder / "broken.jpg").write_bytes(b"not an image")
    return folder
