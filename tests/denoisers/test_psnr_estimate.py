"""The PSNR that is estimated without a reference, against the true one."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.io.ffmpeg.codec_round_trip import codec_round_trip
from streamdenoise.io.open import open_source

SAMPLE = Path(__file__).parents[2] / "samples" / "cctv.mp4"
HEIGHT, WIDTH, FRAMES = 192, 256, 8


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Luma ``(T, H, W)``, reduced by half, which takes the sample's own noise away."""
    with open_source(str(SAMPLE)) as source:
        lumas = [frame.planes[0] for frame in islice(source, FRAMES)]
    size = (WIDTH, HEIGHT)
    area = cv2.INTER_AREA
    return np.stack([cv2.resize(luma, size, interpolation=area) for luma in lumas])


Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def white(sigma: float) -> Degrade:
    return lambda clean, rng: clean + rng.normal(0, sigma, clean.shape)


def poisson(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(clean * 1.2) / 1.2


def coarse(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = rng.normal(0, 1, clean.shape).astype(np.float32)
    grain = np.stack([cv2.GaussianBlur(each, (0, 0), 1.5) for each in grain])
    return clean + 6 * grain / grain.std()


def compressed(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    luma = levels(white(6)(clean, rng))
    gray = np.full((len(luma), HEIGHT // 2, WIDTH), 128, np.uint8)
    coded = codec_round_trip(np.concatenate([luma, gray], 1), "h264", 28)
    return coded[:, :HEIGHT].astype(float)


def levels(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


CASES: dict[str, Degrade] = {
    "white 10": white(10),
    "white 20": white(20),
    "white 30": white(30),
    "still": white(10),
    "x264": compressed,
    "poisson": poisson,
    "coarse": coarse,
    "clean": lambda clean, _: clean.astype(float),
}


def test_the_estimated_gain_is_about_the_true_one(clean: np.ndarray) -> None:
    errors: dict[str, float] = {}
    with Denoiser.load("nano", threads=1) as denoiser:
        for name, degrade in CASES.items():
            truth = clean[:1].repeat(FRAMES, 0) if name == "still" else clean
            noisy = levels(degrade(truth, np.random.default_rng(0)))
            denoiser.reset()
            out = np.stack([denoiser(frame, "gray") for frame in noisy])
            before, after = denoiser.psnr_estimate or (0.0, 0.0)
            settled = slice(FRAMES // 2, None)
            true_gain = 0.0
            if name != "clean":
                true_gain = psnr_db(truth[settled], out[settled], 255)
                true_gain -= psnr_db(truth[settled], noisy[settled], 255)
            errors[name] = (after - before) - true_gain
    assert np.mean(np.abs(list(errors.values()))) < 1.5, errors
    assert max(map(abs, errors.values())) < 4, errors
    assert errors["clean"] < 0.5
