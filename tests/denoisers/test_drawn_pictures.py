"""Pages of text, credits, slides, cartoons and screens have no noise to remove."""

from collections.abc import Callable
from fractions import Fraction

import cv2
import numpy as np
import pytest

from streamdenoise.denoisers.load import load_video_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import ColorInfo, Frame
from streamdenoise.imaging.color import rgb_to_yuv420
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.profile_estimator import ProfileEstimator
from streamdenoise.io.ffmpeg.codec_round_trip import codec_round_trip

SIZE = (360, 480)
FONT = cv2.FONT_HERSHEY_SIMPLEX
LINES = [
    f"{n}. The quick brown fox jumps over the lazy dog, {n * 37} times"
    for n in range(40)
]


def _write(image: np.ndarray, color: int, scale: float, top: int = 0) -> np.ndarray:
    for number, line in enumerate(LINES):
        place = (12, top + 18 + round(number * 34 * scale))
        cv2.putText(image, line, place, FONT, scale, (color,) * 3, 1, cv2.LINE_AA)
    return image


def page(index: int) -> np.ndarray:
    return _write(np.full((*SIZE, 3), 255, np.uint8), 0, 0.45)


def terminal(index: int) -> np.ndarray:
    image = _write(np.zeros((*SIZE, 3), np.uint8), 200, 0.35)
    image[300:312, 20 : 28 + 8 * (index % 2)] = 220  # a cursor
    return image


def credits(index: int) -> np.ndarray:
    return _write(np.zeros((*SIZE, 3), np.uint8), 255, 0.6, top=-3 * index)


def slide(index: int) -> np.ndarray:
    image = np.full((*SIZE, 3), 255, np.uint8)
    image[:60] = (30, 60, 140)
    cv2.putText(image, "Results", (20, 42), FONT, 1.2, (255,) * 3, 2, cv2.LINE_AA)
    for bar in range(5):
        image[300 - 40 * bar : 320, 60 + 80 * bar : 100 + 80 * bar] = (220, 120, 40)
    return image


def cartoon(index: int) -> np.ndarray:
    image = np.full((*SIZE, 3), (120, 190, 240), np.uint8)
    image[240:] = (90, 170, 70)
    center = (140 + 5 * index, 180)
    cv2.circle(image, center, 70, (250, 220, 180), -1, cv2.LINE_AA)
    cv2.circle(image, center, 70, (20, 20, 20), 3, cv2.LINE_AA)
    cv2.ellipse(image, (center[0], 200), (30, 14), 0, 0, 180, (150, 30, 30), -1)
    return image


def screen(index: int) -> np.ndarray:
    image = np.full((*SIZE, 3), (236, 239, 244), np.uint8)
    image[:24] = (46, 52, 64)
    inside = _write(np.full((300, 440, 3), 255, np.uint8), 40, 0.35)
    image[40:340, 20:460] = inside
    place = 60 + 8 * index
    cv2.fillPoly(
        image, [np.array([(place, 80), (place, 96), (place + 11, 91)])], (0,) * 3
    )
    return image


def dead_channel(index: int) -> np.ndarray:
    image = cartoon(index)
    image[..., 2] = 0
    return image


PICTURES: list[Callable[[int], np.ndarray]] = [
    *(page, terminal, credits, slide, cartoon, screen, dead_channel),
]


@pytest.mark.parametrize("draw", PICTURES, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("full_range", [False, True])
def test_drawn_video_stays_as_it_is(
    draw: Callable[[int], np.ndarray], full_range: bool
) -> None:
    color = ColorInfo(matrix=1, range=2 if full_range else 1)
    with load_video_denoiser(DenoiseConfig(threads=1)) as denoiser:
        for index in range(8):
            planes = rgb_to_yuv420(draw(index), color)
            frame = Frame(planes, "yuv420p", color, index, Fraction(1, 25), index, 0.0)
            (clean,) = denoiser.process(frame)
            found = [
                psnr_db(before, after, 255)
                for before, after in zip(frame.planes, clean.planes, strict=True)
            ]
            assert min(found) > 50, (index, found, denoiser.noise_levels)


@pytest.mark.parametrize("draw", PICTURES, ids=lambda draw: draw.__name__)
def test_drawn_images_stay_as_they_are(draw: Callable[[int], np.ndarray]) -> None:
    image = draw(3)
    with load_video_denoiser(DenoiseConfig(threads=1), single_images=True) as denoiser:
        clean = denoiser(image, "rgb24")
    assert psnr_db(image, clean, 255) > 50, denoiser.noise_levels


@pytest.mark.parametrize("draw", [terminal, screen], ids=lambda draw: draw.__name__)
def test_what_key_frames_round_anew_is_not_noise(
    draw: Callable[[int], np.ndarray],
) -> None:
    color, estimator = ColorInfo(matrix=1, range=1), ProfileEstimator()
    for first in range(0, 100, 25):
        planes = [rgb_to_yuv420(draw(n), color) for n in range(first, first + 25)]
        flat = np.stack([np.concatenate([x.ravel() for x in each]) for each in planes])
        # Key frames differ in quality, as rate control chooses it.
        quality = 18 + first // 25 % 2 * 5
        for frame in codec_round_trip(flat.reshape(25, -1, SIZE[1]), "h264", quality):
            chroma = frame[SIZE[0] :].reshape(2, SIZE[0] // 2, SIZE[1] // 2)
            found = estimator.update((frame[: SIZE[0]], *chroma), 255)
            assert 255 * max(found) < 0.5
