"""The load governor, on simulated machines."""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from streamdenoise.denoisers.load_governor import LoadGovernor

FRAME_S = 0.04
QUEUE = 4
STEPS = 4
"""Steps: full, half size, half size with every second frame, bypass."""
EVERY_SECOND = 2
BYPASS = 3

Costs = Callable[[float, int], float]
"""Returns the seconds that a frame takes at a time and a step."""


@dataclass
class Machine:
    """25 frames per second through a queue that drops the oldest, to one worker."""

    cost_s: Costs
    max_lag_ms: float = 120.0
    frame_s: float = FRAME_S
    now: float = 0.0
    out: list[tuple[float, float, int]] = field(default_factory=list)
    """Time in seconds, lag in ms and step of each frame that came out."""
    switches: list[tuple[float, int]] = field(default_factory=list)

    def run(self, until_s: float) -> "Machine":
        governor = LoadGovernor(STEPS, self.max_lag_ms, lambda: self.now)
        queue: deque[float] = deque(maxlen=QUEUE)
        step, arrived, shed_last = 0, 0, False
        while self.now < until_s:
            while arrived * self.frame_s <= self.now:
                queue.append(arrived * self.frame_s)
                arrived += 1
            if not queue:
                self.now = arrived * self.frame_s
                continue
            captured_at = queue.popleft()
            if step == EVERY_SECOND and not shed_last:
                shed_last = True
                continue
            shed_last = False
            self.now += 1e-4 if step == BYPASS else self.cost_s(self.now, step)
            lag_ms = (self.now - captured_at) * 1000
            self.out.append((self.now, lag_ms, step))
            new = governor.update(lag_ms)
            assert abs(new - step) <= 1
            if new != step:
                self.switches.append((self.now, new))
            step = new
        return self

    def late_after(self, start_s: float) -> float:
        """When the last frame of the 5 s after `start_s` was late, since then."""
        late = [
            t
            for t, lag_ms, _ in self.out
            if start_s < t < start_s + 5 and lag_ms > self.max_lag_ms
        ]
        return max(late, default=start_s) - start_s

    def share_at(self, step: int, start_s: float) -> float:
        """Share of the time since `start_s` that was spent at `step`."""
        begins = [(0.0, 0), *self.switches]
        ends = [*(t for t, _ in self.switches), self.now]
        spans = [
            max(0.0, end - max(begin, start_s))
            for (begin, at), end in zip(begins, ends, strict=True)
            if at == step
        ]
        return sum(spans) / (self.now - start_s)


def fixed(*costs_ms: float) -> Costs:
    return lambda now, step: costs_ms[min(step, len(costs_ms) - 1)] / 1000


def holds(cost_ms: float, step: int) -> bool:
    """Whether a machine keeps up at a cost per frame, with some margin."""
    interval_s = FRAME_S * (2 if step == EVERY_SECOND else 1)
    return cost_ms / 1000 < 0.95 * interval_s


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("costs_ms", "best"),
    [
        ((20, 10), 0),
        ((36, 12), 0),
        ((50, 20), 1),
        ((90, 36), 1),
        ((130, 60), 2),
        ((200, 70), 2),
        ((300, 110), 3),
    ],
)
def test_a_steady_machine_settles_at_the_best_step_it_can_hold(
    costs_ms: tuple[float, float], best: int
) -> None:
    by_step = (*costs_ms, costs_ms[1], 0)
    assert best == next(step for step in range(STEPS) if holds(by_step[step], step))
    machine = Machine(fixed(*costs_ms)).run(3600)
    assert machine.late_after(0) < 3
    if best == 0:
        assert machine.switches == []
        return
    # A trial of a better step about every five minutes, once it is known to fail.
    assert len(machine.switches) < 50
    last_half_hour = [t for t, _ in machine.switches if t > 1800]
    assert len(last_half_hour) <= 2 * math.ceil(1800 / 300)
    assert machine.share_at(best, 1800) > 0.99
    late = sum(lag_ms > machine.max_lag_ms for _, lag_ms, _ in machine.out)
    assert late < 0.01 * len(machine.out)


def test_frames_from_before_a_switch_do_not_count() -> None:
    """They were queued, and are late because of the step before."""
    now = 0.0
    governor = LoadGovernor(STEPS, 100.0, lambda: now)
    while not governor.update(150.0):
        now += FRAME_S
    switched_at = now
    for _ in range(50):
        now += FRAME_S
        assert governor.update((now - switched_at) * 1000 + 1) == 1
    for _ in range(12):
        assert governor.update(150.0) == 1
        now += FRAME_S
    now += FRAME_S
    assert governor.update(150.0) == 2


def test_one_step_down_takes_half_a_second_or_more() -> None:
    machine = Machine(fixed(130, 60)).run(20)
    times = [t for t, _ in machine.switches]
    assert [step for _, step in machine.switches][:2] == [1, 2]
    assert all(b - a >= 0.5 for a, b in pairwise(times))


@pytest.mark.no_cover
def test_varying_costs_do_not_make_it_oscillate() -> None:
    rng = random.Random(5)

    def cost_s(now: float, step: int) -> float:
        return rng.lognormvariate(math.log((0.045, 0.015)[min(step, 1)]), 0.4)

    machine = Machine(cost_s).run(3600)
    assert machine.share_at(1, 600) > 0.9
    assert len(machine.switches) < 60


def test_occasional_late_frames_change_nothing() -> None:
    def cost_s(now: float, step: int) -> float:
        return 0.3 if now % 7 < 0.03 else 0.025

    machine = Machine(cost_s).run(600)
    assert max(lag_ms for _, lag_ms, _ in machine.out) > 300
    assert machine.switches == []


@pytest.mark.no_cover
def test_it_reacts_to_throttling_and_its_end_within_three_seconds() -> None:
    """Twice as slow after ten minutes, four times after twenty, then normal."""

    def cost_s(now: float, step: int) -> float:
        factor = 1 if now < 600 else 2 if now < 1200 else 4 if now < 1500 else 1
        return factor * (0.03, 0.012)[min(step, 1)]

    machine = Machine(cost_s).run(3600)
    for start_s, worst in ((600, 1), (1200, 2)):
        assert machine.late_after(start_s) < 3
        reached = [step for t, step in machine.switches if start_s < t < start_s + 3]
        assert reached[-1] == worst
    back = [t for t, step in machine.switches if step == 0 and t > 1500]
    # The longest wait, for full size, and the first one for lower steps.
    assert back[-1] < 1500 + 300 + 20
    assert machine.switches[-1] == (back[-1], 0)


def test_full_quality_soon_returns_after_a_short_load() -> None:
    def cost_s(now: float, step: int) -> float:
        return 0.5 if 100 < now < 105 else 0.02

    machine = Machine(cost_s).run(300)
    assert [step for _, step in machine.switches] == [1, 2, 3, 2, 1, 0]
    assert machine.switches[-1][0] < 105 + 35


@pytest.mark.no_cover
def test_an_overheating_machine_is_tried_ever_less_often() -> None:
    """Full size for 20 s heats it up; 15 s of less load cool it down."""
    heat = [0.0, 0.0]

    def cost_s(now: float, step: int) -> float:
        heat[0] += (now - heat[1]) * (1 if step == 0 else -1.33)
        heat[0], heat[1] = min(max(heat[0], 0.0), 20.0), now
        return (0.07 if heat[0] >= 20 else 0.03) if step == 0 else 0.015

    machine = Machine(cost_s).run(3600)
    first = sum(t < 600 for t, _ in machine.switches)
    last = sum(t > 3000 for t, _ in machine.switches)
    assert last <= 4 < first


@pytest.mark.no_cover
def test_failures_are_forgotten_after_a_long_quiet_time() -> None:
    """An hour too slow for full size, half an hour fine, then one bad second."""

    def cost_s(now: float, step: int) -> float:
        slow = now < 3600 or 5400 < now < 5401
        return (0.08 if slow else 0.03, 0.015)[min(step, 1)]

    machine = Machine(cost_s).run(6000)
    after = [(t, step) for t, step in machine.switches if t > 5400]
    assert [step for _, step in after] == [1, 0]
    assert after[1][0] - after[0][0] < 11


@pytest.mark.parametrize("cost_ms", [400, 2500])
def test_one_frame_a_second_is_enough(cost_ms: float) -> None:
    machine = Machine(fixed(cost_ms, 20)).run(40 * cost_ms / 1000)
    assert machine.switches[0][1] == 1
    assert machine.switches[0][0] < 3.1 * cost_ms / 1000


def test_the_last_step_is_the_lowest() -> None:
    """The source's frames arrive late: no step can help."""
    now = 100.0
    governor = LoadGovernor(STEPS, 50.0, lambda: now)
    steps = []
    for _ in range(2500):
        now += FRAME_S
        steps.append(governor.update(500.0))
    assert steps[-1] == BYPASS
    assert sorted(steps) == steps
    assert governor.lag_ms == 500.0


def test_a_pause_of_the_source_changes_nothing() -> None:
    """A few frames that had been queued follow it."""
    now = 0.0
    governor = LoadGovernor(STEPS, 100.0, lambda: now)
    for pause_s in (0.0, 5.0, 60.0):
        now += pause_s
        for _ in range(6):
            assert governor.update(90.0 + 100 * pause_s) == 0
            now += 0.01
        for _ in range(100):
            now += FRAME_S
            assert governor.update(40.0) == 0


def test_no_steps_or_no_lag_is_a_mistake() -> None:
    for steps, max_lag_ms in ((0, 100.0), (4, 0.0), (4, math.nan)):
        with pytest.raises(ValueError, match="steps must be 1 or more"):
            LoadGovernor(steps, max_lag_ms)
