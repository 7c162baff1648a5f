"""Arrays in, arrays out, as OpenCV and imageio hold images."""

import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.denoisers.arrays import ArrayAdapter


@pytest.fixture
def denoiser() -> Denoiser:
    return Denoiser.load("nano-awgn", threads=1)


@pytest.mark.parametrize("strength", [0, 0.001])
@pytest.mark.parametrize(
    ("pix_fmt", "shape"), [("gray", (32, 48)), ("rgb24", (32, 48, 3))]
)
def test_the_result_is_never_the_callers_array(
    pix_fmt: str, shape: tuple[int, ...], strength: float
) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    with Denoiser.load(sigma=5, strength=strength, threads=1) as denoiser:
        clean = denoiser(image, pix_fmt)
    np.testing.assert_array_equal(clean, image)
    assert not np.shares_memory(clean, image)


@pytest.mark.parametrize(
    ("pix_fmt", "shape"),
    [
        ("bgr24", (48, 64, 3)),
        ("rgb24", (47, 65, 3)),
        ("gray", (48, 64)),
        ("yuv420p", (72, 64)),
    ],
)
def test_arrays_in_and_out(
    denoiser: Denoiser, pix_fmt: str, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    image = (120 + rng.normal(0, 20, shape)).clip(0, 255).astype(np.uint8)
    out = denoiser(image, pix_fmt)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert out.std() < 0.7 * image.std()
    assert out is not image


def test_bgr_and_rgb_are_the_same_image(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    image = (120 + rng.normal(0, 20, (48, 64, 3))).clip(0, 255).astype(np.uint8)
    bgr = denoiser(image, "bgr24")
    denoiser.reset()
    rgb = denoiser(image[..., ::-1], "rgb24")
    np.testing.assert_array_equal(bgr, rgb[..., ::-1])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4,), np.uint8),
    ],
    ids=["float", "alpha", "line"],
)
def test_wrong_arrays_are_refused(denoiser: Denoiser, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image"):
        denoiser(image)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5, 3), (4, 0)])
def test_an_empty_array_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="image is empty"):
        ArrayAdapter(lambda frame: [frame])(np.zeros(shape, np.uint8), "bgr24")
