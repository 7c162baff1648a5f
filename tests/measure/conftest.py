"""Clips that tests of several files measure."""

from pathlib import Path

import numpy as np
import pytest

from streamdenoise.frame import Frame
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.measure.peers.peer import StoredClip, store
from tests.measure.waves import textured, write


@pytest.fixture(scope="session")
def clean_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two clips of four frames."""
    folder = tmp_path_factory.mktemp("clean")
    write(folder / "slow.mkv", [textured(n) for n in range(4)])
    write(folder / "fine.mkv", [textured(n, period=4) for n in range(4)])
    return folder


@pytest.fixture
def clean_and_noisy(tmp_path: Path) -> tuple[list[Frame], StoredClip]:
    """Four frames, and the same ones with noise of sigma 20."""
    clean = [textured(n) for n in range(4)]
    rng = np.random.default_rng(0)
    noisy = [add_gaussian_noise(frame, 20, rng) for frame in clean]
    return clean, store(noisy, tmp_path / "noisy.yuv")
