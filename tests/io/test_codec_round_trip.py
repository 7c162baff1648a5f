"""Frames that went through a video encoder in memory."""

from typing import Literal

import numpy as np
import pytest

from streamdenoise.io.ffmpeg.codec_round_trip import BitRate, codec_round_trip


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_higher_crf_leaves_less_of_the_noise(codec: Literal["h264", "hevc"]) -> None:
    rng = np.random.default_rng(0)
    noisy = (128 + rng.normal(0, 8, (5, 96, 96))).round().astype(np.uint8)
    fine, coarse = (codec_round_trip(noisy, codec, crf) for crf in (5, 35))
    assert fine.shape == coarse.shape == noisy.shape
    assert fine.dtype == np.uint8
    errors = [float(np.abs(x - 1.0 * noisy).mean()) for x in (fine, coarse)]
    assert errors[0] < 1.5 < errors[1]
    assert coarse.std() < 0.7 * noisy.std()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_bit_rate_is_kept_over_key_frames(codec: Literal["h264", "hevc"]) -> None:
    rng = np.random.default_rng(0)
    noisy = (128 + rng.normal(0, 8, (30, 96, 96))).round().astype(np.uint8)
    low, high = (
        codec_round_trip(noisy, codec, BitRate(rate, frame_rate=10))
        for rate in (50_000, 1_000_000)
    )
    errors = [np.abs(x - 1.0 * noisy).mean((1, 2)) for x in (low, high)]
    assert (errors[0][5:] > errors[1][5:] + 1).all()
