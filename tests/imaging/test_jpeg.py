"""Noise that a JPEG hides."""

import cv2
import numpy as np
import pytest

from streamdenoise.imaging.jpeg import hidden_noise, quantization_tables
from streamdenoise.imaging.noise_profile import LEVELS

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 56, 3)).astype(np.uint8)


def jpeg(quality: int, image: np.ndarray = IMAGE) -> bytes:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def test_the_tables_are_those_of_the_standard() -> None:
    tables = quantization_tables(jpeg(50))  # ITU-T T.81, annex K
    assert tables[0][0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert tables[0][:, 0].tolist() == [16, 12, 14, 14, 18, 24, 49, 72]
    assert tables[1][0].tolist() == [17, 18, 24, 47, 99, 99, 99, 99]


def test_coarse_steps_hide_more_and_most_of_the_fine_noise() -> None:
    found = [hidden_noise(jpeg(quality)) for quality in (95, 75, 50)]
    assert all(len(levels) == len(LEVELS) for levels in found)
    assert (np.diff(found, axis=0) > 0).all()
    fine, middle, coarse, *_ = found[1]
    assert fine > middle > coarse > 0.3
    assert fine < 4


def test_gray_images_have_no_table_for_color() -> None:
    assert len(hidden_noise(jpeg(75, IMAGE[..., 0]))) == len(LEVELS)


@pytest.mark.parametrize("other", [b"", b"\xff", b"\xff\xd8", b"\x89PNG\r\n\x1a\n1234"])
def test_other_files_hide_nothing_that_is_known(other: bytes) -> None:
    assert hidden_noise(other) == ()


def test_damaged_files_do_no_harm() -> None:
    data = jpeg(75)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data[: rng.integers(2, 700)])
        for place in rng.integers(0, len(damaged), 3):
            damaged[place] = rng.integers(256)
        levels = hidden_noise(bytes(damaged))
        assert np.isfinite(levels).all()
