"""Single images: less noise left, and hardly any border of blocks."""

import numpy as np
import pytest

from streamdenoise.denoisers.load import load_video_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import bit_depth
from streamdenoise.imaging.metrics import psnr_db
from tests.denoisers.noisy_scene import noisy_frame

CONFIG = DenoiseConfig(model="nano", sigma=20, threads=1)


def border_ratio(plane: np.ndarray) -> float:
    """Squared steps across the borders of 4x4 blocks, over those at other places."""
    steps = np.diff(plane.astype(float), axis=1) ** 2
    at_borders = np.arange(steps.shape[1]) % 4 == 3
    return float(steps[:, at_borders].mean() / steps[:, ~at_borders].mean())


def test_flat_images_have_no_borders() -> None:
    rng = np.random.default_rng(5)
    image = np.clip(rng.normal(110, 20, (240, 322)), 0, 255).round().astype(np.uint8)
    left = []
    for single_images in (False, True):
        with load_video_denoiser(CONFIG, single_images=single_images) as denoiser:
            left.append(denoiser(image))
    stds = [float(plane.std()) for plane in left]
    ratios = [border_ratio(plane) for plane in left]
    assert stds[1] < 0.95 * stds[0]
    assert ratios[1] < min(1.6, 0.75 * ratios[0]), ratios


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray", "rgb24", "yuv420p10le"])
@pytest.mark.parametrize("size", [(45, 61), (96, 128)])
def test_any_format_and_size(pix_fmt: str, size: tuple[int, int]) -> None:
    frame = noisy_frame(pix_fmt, *size, noise_std=0.08)
    truth = noisy_frame(pix_fmt, *size)
    with load_video_denoiser(CONFIG, single_images=True) as denoiser:
        (clean,) = denoiser.process(frame)
        denoiser.reset()
        (again,) = denoiser.process(frame)
    for one, other in zip(clean.planes, again.planes, strict=True):
        np.testing.assert_array_equal(one, other)
    peak = (1 << bit_depth(pix_fmt)) - 1
    before, after = (
        psnr_db(truth.planes[0], each.planes[0], peak) for each in (frame, clean)
    )
    assert after > before + 3
