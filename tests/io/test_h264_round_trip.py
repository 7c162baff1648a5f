"""Frames that went through an H.264 encoder in memory."""

import numpy as np

from streamdenoise.io.ffmpeg.h264_round_trip import h264_round_trip


def test_a_higher_crf_leaves_less_of_the_noise() -> None:
    rng = np.random.default_rng(0)
    noisy = (128 + rng.normal(0, 8, (5, 96, 96))).round().astype(np.uint8)
    fine, coarse = (h264_round_trip(noisy, crf) for crf in (5, 35))
    assert fine.shape == coarse.shape == noisy.shape
    assert fine.dtype == np.uint8
    errors = [float(np.abs(x - 1.0 * noisy).mean()) for x in (fine, coarse)]
    assert errors[0] < 1.5 < errors[1]
    assert coarse.std() < 0.5 * noisy.std()
