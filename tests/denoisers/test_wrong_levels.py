"""The model with a noise profile that is wrong."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.denoisers.noise_level import NoiseLevel
from streamdenoise.denoisers.saved_profile import LEVEL_NAMES, SavedProfile
from streamdenoise.frame import Frame
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.io.open import open_source

SAMPLE = Path(__file__).parents[2] / "samples" / "cctv.mp4"
SIGMA, MOST_LOST_DB = 20.0, 0.2
HEIGHT, WIDTH = 192, 256


@pytest.fixture(scope="module")
def clean() -> list[Frame]:
    with open_source(str(SAMPLE)) as source:
        frames = list(islice(source, 6))
    return [
        replace(
            frame,
            planes=tuple(
                np.ascontiguousarray(plane[: HEIGHT // step, : WIDTH // step])
                for plane, step in zip(frame.planes, (1, 2, 2), strict=True)
            ),
        )
        for frame in frames
    ]


@pytest.fixture(scope="module")
def noisy(clean: list[Frame]) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [add_gaussian_noise(frame, SIGMA, rng) for frame in clean]


def mean_psnr(
    clean: Sequence[Frame], noisy: Sequence[Frame], levels: Sequence[float]
) -> float:
    """Mean PSNR of luma in dB, told these levels."""
    artifact = open_artifact("nano")
    told = SavedProfile(tuple(levels), WIDTH, HEIGHT, is_full_range=False)
    loader = EngineLoader(artifact, threads=1)
    with Denoiser(artifact, loader, noise=NoiseLevel(profile=told)) as denoiser:
        out = [frame for each in noisy for frame in denoiser.process(each)]
    pairs = zip(clean, out, strict=True)
    return float(np.mean([psnr_db(a.planes[0], b.planes[0], 255) for a, b in pairs]))


def test_any_single_level_may_be_off_by_a_factor_of_1_4(
    clean: list[Frame], noisy: list[Frame]
) -> None:
    right = [SIGMA] * len(LEVEL_NAMES)
    best = mean_psnr(clean, noisy, right)
    assert best > psnr_db(clean[-1].planes[0], noisy[-1].planes[0], 255) + 5
    lost = {}
    for index, name in enumerate(LEVEL_NAMES):
        for factor in (0.7, 1.4):
            wrong = [*right]
            wrong[index] *= factor
            lost[name, factor] = best - mean_psnr(clean, noisy, wrong)
    assert max(lost.values()) <= MOST_LOST_DB, lost
