"""Luma in limited and in full range."""

import numpy as np
import pytest

from streamdenoise.imaging.luma_range import to_full_range, to_limited_range


@pytest.mark.parametrize(("depth", "dtype"), [(8, np.uint8), (10, np.uint16)])
def test_black_and_white_move_to_the_ends_and_back(depth: int, dtype: type) -> None:
    step, peak = 1 << (depth - 8), (1 << depth) - 1
    limited = np.array([[16 * step, 235 * step]], dtype)
    full = to_full_range(limited, depth)
    np.testing.assert_array_equal(full, [[0, peak]])
    assert full.dtype == dtype
    np.testing.assert_array_equal(to_limited_range(full, depth), limited)


def test_values_beyond_the_limits_are_clipped() -> None:
    beyond = np.array([[0, 1023]], np.uint16)
    np.testing.assert_array_equal(to_full_range(beyond, 10), [[0, 1023]])


def test_the_round_trip_is_exact() -> None:
    codes = np.arange(16, 236, dtype=np.uint8)[None]
    again = to_limited_range(to_full_range(codes, 8), 8)
    assert np.abs(again.astype(int) - codes).max() <= 1
