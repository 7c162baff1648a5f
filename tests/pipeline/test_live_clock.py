"""Timestamps of a live stream, with a simulated camera and wall clock."""

import itertools
import random
from fractions import Fraction

import pytest

from streamdenoise.frame import Frame
from streamdenoise.pipeline.live_clock import LiveClock
from tests.support.frames import make_frame

TIME_BASE = Fraction(1, 90000)
MS = 90


def frame(pts: int, arrival_s: float, time_base: Fraction = TIME_BASE) -> Frame:
    return make_frame(
        width=2,
        height=2,
        pix_fmt="gray",
        pts=pts,
        time_base=time_base,
        captured_at=1000.0 + arrival_s,
    )


def stamps(clock: LiveClock, arrivals: list[tuple[int, float]]) -> list[float]:
    return [clock.stamp(frame(pts, at)).time_s for pts, at in arrivals]


def test_a_good_camera_keeps_its_own_steps():
    clock = LiveClock(TIME_BASE)
    rng = random.Random(1)
    wanted = [0, 3003, 6006, 9009, 15015, 18018]
    given = [(7777 + pts, pts / 90000 + rng.uniform(0, 0.05)) for pts in wanted]
    assert [clock.stamp(frame(*one)).pts for one in given] == wanted


def test_a_clock_that_restarts_continues_at_the_wall_clock():
    clock = LiveClock(TIME_BASE)
    before = [(40 * MS * n, 0.04 * n) for n in range(50)]
    after = [(40 * MS * n, 7.0 + 0.04 * n) for n in range(50)]
    times = stamps(clock, before + after)
    assert times[50:] == pytest.approx([7.0 + 0.04 * n for n in range(50)], abs=1e-3)


def test_the_time_base_may_change_in_mid_stream():
    clock = LiveClock(TIME_BASE)
    clock.stamp(frame(0, 0.0))
    again = [
        clock.stamp(frame(100_000 + 40 * n, 5 + 0.04 * n, Fraction(1, 1000)))
        for n in range(3)
    ]
    assert [one.time_base for one in again] == [TIME_BASE] * 3
    assert [one.pts for one in again] == [450_000, 453_600, 457_200]


def test_a_jump_far_ahead_is_not_followed():
    clock = LiveClock(TIME_BASE)
    stamps(clock, [(40 * MS * n, 0.04 * n) for n in range(10)])
    day = 24 * 3600 * 90000
    assert stamps(clock, [(day, 0.4), (day + 40 * MS, 0.44)]) == pytest.approx(
        [0.4, 0.44], abs=1e-3
    )


def test_frames_delayed_by_a_stall_follow_the_held_frames_at_once():
    clock = LiveClock(TIME_BASE)
    stamps(clock, [(40 * MS * n, 0.04 * n) for n in range(25)])
    held = [clock.hold(frame(0, 0.0), 1000 + at).time_s for at in (2.0, 3.0, 4.0)]
    assert held == pytest.approx([2.0, 3.0, 4.0], abs=1e-3)
    burst = stamps(clock, [(40 * MS * n, 5.0) for n in range(25, 126)])
    assert burst[0] >= 5.0
    # None is dropped, none makes a viewer wait, and the camera's own times return.
    assert all(0 < b - a < 0.05 for a, b in itertools.pairwise(burst))
    assert burst[-1] == pytest.approx(5.0, abs=0.01)
    later = stamps(clock, [(40 * MS * n, 0.04 * n) for n in range(127, 150)])
    assert later == pytest.approx([0.04 * n for n in range(127, 150)], abs=1e-3)


def test_a_camera_that_was_paused_has_even_steps_again():
    clock = LiveClock(TIME_BASE)
    stamps(clock, [(40 * MS * n, 0.04 * n) for n in range(25)])
    clock.hold(frame(0, 0.0), 1005.9)
    resumed = [(40 * MS * n, 5.0 + 0.04 * n) for n in range(25, 100)]
    times = stamps(clock, resumed)
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert steps[-40:] == pytest.approx([0.04] * 40, abs=1e-3)
    assert times[-1] == pytest.approx(resumed[-1][1], abs=0.1)


@pytest.mark.no_cover
@pytest.mark.parametrize("fps", [1, 25, 120])
@pytest.mark.parametrize("drift", [-3e-3, 3e-3])
def test_a_clock_that_drifts_stays_near_ours_without_a_jump(drift: float, fps: int):
    clock, last = LiveClock(TIME_BASE), 0.0
    frames = min(1000 * fps, 36_000)
    for n in range(frames):
        camera = round(n / fps * (1 + drift) * 90000)
        time = clock.stamp(frame(camera, n / fps)).time_s
        assert n == 0 or 0.975 < (time - last) * fps < 1.025
        last = time
    assert last == pytest.approx((frames - 1) / fps, abs=0.8)


@pytest.mark.parametrize("fps", [0.5, 1, 25])
def test_a_burst_at_the_start_does_not_leave_the_stream_ahead(fps: float):
    """A server sends the frames that it has kept for four seconds, then live ones."""
    clock, late = LiveClock(TIME_BASE), round(4 * fps)
    times: list[float] = []
    arrival = 0.0
    for n in range(late + round(300 * fps)):
        camera, arrival = n / fps, max(0.0, (n - late) / fps)
        times.append(clock.stamp(frame(round(camera * 90000), arrival)).time_s)
        assert times[-1] - arrival < 4.5
    assert times[-1] == pytest.approx(arrival, abs=0.8)
    assert all(b > a for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("fps", [0.2, 0.5, 0.9])
def test_slow_cameras_keep_their_steps_if_frames_arrive_together(fps: float):
    clock, rng = LiveClock(TIME_BASE), random.Random(1)
    late = [0.0, *(rng.uniform(0, 1.5) for _ in range(60))]
    arrivals = itertools.accumulate(((n + x) / fps for n, x in enumerate(late)), max)
    given = [(round(n / fps * 90000), at) for n, at in enumerate(arrivals)]
    steps = [b - a for a, b in itertools.pairwise(stamps(clock, given))]
    assert steps[1:] == pytest.approx([1 / fps] * 59, rel=0.11)


@pytest.mark.parametrize("fps", [1, 25])
@pytest.mark.parametrize("speed", [0.5, 1.5, 2, 20])
def test_a_camera_whose_clock_runs_at_another_speed_is_not_followed(
    speed: float, fps: int
):
    clock = LiveClock(TIME_BASE)
    last = -1.0
    for n in range(120 * fps):
        time = clock.stamp(frame(round(n / fps * speed * 90000), n / fps)).time_s
        assert time > last
        assert -21 < time - n / fps < 6
        last = time


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_timestamps_increase_and_stay_near_the_wall_clock(seed: int):
    rng = random.Random(seed)
    clock = LiveClock(
        rng.choice([TIME_BASE, Fraction(1, 1000), Fraction(1, 1_000_000)])
    )
    camera, wall, last = 0.0, 0.0, None
    for _ in range(2000):
        wall += rng.choice([0.0, 0.001, 0.04, 0.04, 0.04, 0.08])
        event = rng.random()
        if event < 0.01:
            camera = rng.uniform(-1e5, 1e5)
        elif event < 0.02:
            wall += rng.uniform(0, 20)
        elif event > 0.03:
            camera += rng.choice([0.04, 0.04, 0.04, 0.0, 0.08])
        if event > 0.98:
            stamped = clock.hold(frame(0, 0.0), 1000 + wall)
        else:
            stamped = clock.stamp(frame(round(camera * 90000), wall))
        assert last is None or stamped.pts > last
        last = stamped.pts
        assert stamped.time_s < wall + 10
