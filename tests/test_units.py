"""Times as users write them."""

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.units import parse_time


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
