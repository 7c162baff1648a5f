"""The published protocol: its noise, the model in floating point, published figures."""

import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.measure.quality.anchors import ANCHORS, SIGMAS
from streamdenoise.measure.quality.published import FloatDenoiser, add_unclipped_noise
from tests.measure.waves import waves_rgb


def test_published_noise_is_neither_clipped_nor_rounded() -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:32] = 255
    noisy = add_unclipped_noise(rgb, 20, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert noisy.max() > 300
    assert noisy.min() < -45
    assert np.any(noisy != noisy.round())
    assert (noisy - rgb).std() == pytest.approx(20, rel=0.03)
    assert (noisy - rgb).mean() == pytest.approx(0, abs=0.7)
    assert psnr_db(rgb, noisy, 255) == pytest.approx(22.11, abs=0.1)


def test_published_noise_is_independent_for_each_frame_and_channel() -> None:
    rng = np.random.default_rng(0)
    still = np.full((64, 64, 3), 128, np.uint8)
    noise = [add_unclipped_noise(still, 10, rng) - 128 for _ in range(3)]
    flat = np.stack([frame[..., c].ravel() for frame in noise for c in range(3)])
    others = np.corrcoef(flat)[~np.eye(9, dtype=bool)]
    assert np.abs(others).max() < 0.06
    again = add_unclipped_noise(still, 10, np.random.default_rng(0)) - 128
    np.testing.assert_array_equal(again, noise[0])


@pytest.mark.parametrize("model", ["nano-awgn", "nano-rgb-awgn"])
def test_the_model_in_float_gains_on_odd_sizes_and_keeps_its_range(model: str) -> None:
    rng = np.random.default_rng(0)
    denoiser = FloatDenoiser(open_artifact(model), 101, 135, 30, 1)
    for index in range(4):
        clean = waves_rgb(index)
        noisy = add_unclipped_noise(clean, 30, rng)
        denoised = denoiser(noisy)
    denoiser.close()
    assert denoised.shape == clean.shape
    assert denoised.dtype == np.float32
    assert 0 <= denoised.min() <= denoised.max() <= 255
    assert psnr_db(clean, denoised, 255) > psnr_db(clean, noisy, 255) + 9


@pytest.mark.parametrize("model", ["nano-awgn", "nano-rgb-awgn"])
def test_the_model_in_float_matches_the_denoiser_on_images(model: str) -> None:
    """With noise that 8 bits can hold, they differ only by rounding."""
    rng = np.random.default_rng(0)
    exact = FloatDenoiser(open_artifact(model), 96, 128, 20, 1)
    with Denoiser.load(model, backend="onnxruntime", sigma=20, threads=1) as denoiser:
        for index in range(4):
            noisy = add_unclipped_noise(waves_rgb(index, 96, 128), 20, rng)
            held = noisy.round().clip(0, 255)
            ours = exact(held)
            product = denoiser(held.astype(np.uint8), "rgb24")
    exact.close()
    assert psnr_db(product, ours, 255) > 46


def test_anchors_fall_with_the_noise() -> None:
    for anchor in ANCHORS:
        assert len(anchor.psnr) == len(SIGMAS)
        assert list(anchor.psnr) == sorted(anchor.psnr, reverse=True)
