"""A few random files; `fuzz_media` tries more."""

import random
import subprocess
from pathlib import Path

import pytest

from tests.faults.fuzz_media import Case, problems


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_from_random_files(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    while True:
        case = Case.draw(rng)
        try:
            assert problems(case, tmp_path) == [], case
        except subprocess.CalledProcessError:
            continue  # FFmpeg does not write this combination: draw another one
        return
