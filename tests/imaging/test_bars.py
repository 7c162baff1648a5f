"""Letterbox bars stay as they are."""

import numpy as np
import pytest

from streamdenoise.imaging.bars import keep_bars


@pytest.mark.parametrize(("rows", "columns"), [(6, 0), (0, 9), (4, 5), (0, 0)])
def test_only_lines_of_one_value_at_the_edges_are_kept(rows: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    before = np.full((40, 60), 16, np.uint8)
    inner = np.s_[rows : 40 - rows, columns : 60 - columns]
    before[inner] = rng.integers(20, 200, before[inner].shape)
    after = before + np.uint8(3)
    keep_bars([before], [after])
    np.testing.assert_array_equal(after[inner], before[inner] + 3)
    after[inner] = before[inner]
    np.testing.assert_array_equal(after, before)


def test_a_flat_plane_is_kept_whole() -> None:
    before = np.full((7, 5), 16, np.uint16)
    after = before + np.uint16(1)
    keep_bars([before], [after])
    assert (after[[0, 1, 2, 4, 5, 6]] == 16).all()
