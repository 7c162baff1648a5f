"""The noise in words."""

import pytest

from streamdenoise.imaging.noise_words import noise_words


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ((3.2, 5, 7.1, 8, 9.4, 4, 4), "noise: fine 3, coarse 7, color 9"),
        ((20,) * 7, "noise 20"),
        ((20, 22, 23, 17, 18, 19, 23), "noise 20"),
        ((20, 22, 23, 0, 0, 0, 0), "noise 20"),  # gray
        ((20, 22, 23, 4, 3, 2, 2), "noise: fine 20, color 4"),
        ((0.4, 0.3, 1.2, 0.4, 0.4, 0.4, 0.4), "noise: fine 0.4, coarse 1"),
        ((1.1, 1.4, 1.1, 1, 1, 1, 1), "noise 1"),
        ((0.0,) * 7, "noise 0"),
        ((0.01, 0.04) + (0.0,) * 5, "noise 0"),
    ],
)
def test_what_is_like_the_fine_noise_is_left_out(
    levels: tuple[float, ...], words: str
) -> None:
    assert noise_words(levels) == words
