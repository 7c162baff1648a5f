"""Untagged video has the noise level of the matrix that players use."""

from dataclasses import replace

import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.noise import add_gaussian_noise
from tests.support.frames import make_frame

BT709, BT601, UNTAGGED = ColorInfo(1, 1), ColorInfo(6, 1), ColorInfo()


@pytest.mark.parametrize(
    ("height", "width", "same", "other"),
    [(96, 128, BT601, BT709), (64, 1280, BT709, BT601)],
)
def test_a_given_sigma_has_the_same_meaning_for_untagged_video(
    height: int, width: int, same: ColorInfo, other: ColorInfo
) -> None:
    flat = make_frame(width=width, height=height)
    noisy = add_gaussian_noise(flat, 25, np.random.default_rng(0))

    def denoised(color: ColorInfo) -> np.ndarray:
        with Denoiser.load("nano-awgn", sigma=25, threads=1) as denoiser:
            (clean,) = denoiser.process(replace(noisy, color=color))
        return clean.planes[0]

    untagged = denoised(UNTAGGED)
    np.testing.assert_array_equal(untagged, denoised(same))
    assert (untagged != denoised(other)).any()
