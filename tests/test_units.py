"""Times as users write them."""

from fractions import Fraction

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.units import parse_rate, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("10m", 600.0), ("1h", 3600.0), ("7d", 604_800.0), ("0.5m", 30.0)],
)
def test_times_can_have_units(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["m", "1:30m", "10 min", "-1h", "1h30m", "infs", "5w"])
def test_other_units_are_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25", 25), ("30000/1001", Fraction(30000, 1001)), ("23.976", Fraction("23.976"))],
)
def test_rates(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-5", "1/0", "x", "1001", "1e99999999", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ConfigError, match="not a frame rate"):
        parse_rate(text)
