"""The time of the noise estimate; no test of speed."""

from streamdenoise.measure.speed.noise_estimate import estimate_ms


def test_moving_and_still_footage_are_timed() -> None:
    found = estimate_ms("64x48", frames=2)
    assert set(found) == {"moving", "still"}
    assert min(found.values()) > 0
