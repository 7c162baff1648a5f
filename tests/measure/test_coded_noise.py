"""How much of coded noise the estimate finds."""

import pytest

from streamdenoise.measure.quality.coded_noise import found_share
from tests.measure.waves import textured


def test_noise_that_a_codec_keeps_is_found_and_less_of_what_it_freezes() -> None:
    still = [textured(0, 256, 192, period=60)] * 24
    kept, frozen = found_share(still, [4, 26])
    assert kept == pytest.approx([1] * 7, rel=0.25)
    assert (frozen < 0.9).all()
