"""When a live stream counts as lost, and when its reader as too slow."""

from collections.abc import Callable, Iterator

import pytest

from streamdenoise.io.sources.catch_up import CatchUp
from streamdenoise.io.sources.watchdog import StreamWatchdog
from tests.support.clock import Clock


def watched(
    feed: Callable[[StreamWatchdog, Clock], Iterator[str | None]],
    *,
    comes_in_bursts: bool = False,
) -> str | None:
    """The first fault that a watchdog of 10 s reports while `feed` runs."""
    clock = Clock()
    watchdog = StreamWatchdog(10.0, 25.0, comes_in_bursts=comes_in_bursts, clock=clock)
    return next(filter(None, feed(watchdog, clock)), None)


def packets(
    watchdog: StreamWatchdog,
    clock: Clock,
    how_many: int,
    *,
    step_s: float = 0.04,
    pts_step_s: float | None = 0.04,
    pts_s: float = 0.0,
    decodes: bool = True,
) -> Iterator[str | None]:
    for _ in range(how_many):
        clock.now += step_s
        yield watchdog.packet(None if pts_step_s is None else pts_s)
        pts_s += pts_step_s or 0
        if decodes:
            watchdog.frame()


def test_watchdog_lets_good_streams_pass() -> None:
    assert watched(lambda dog, clock: packets(dog, clock, 5000)) is None
    # Without timestamps; and from a fast camera whose declared rate is wrong.
    assert watched(lambda dog, clock: packets(dog, clock, 999, pts_step_s=None)) is None
    assert (
        watched(
            lambda dog, clock: packets(
                dog, clock, 20000, step_s=1 / 120, pts_step_s=1 / 120
            )
        )
        is None
    )


def test_watchdog_and_missing_frames() -> None:
    def feed(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 100)
        begin = clock.now
        for fault in packets(dog, clock, 1000, pts_s=4.0, decodes=False):
            if fault is not None:
                assert 10 < clock.now - begin < 10.2
            yield fault

    assert watched(feed) == "no frame can be decoded any more"


def test_watchdog_and_long_pauses() -> None:
    """A suspended machine is not a fault of the stream."""

    def feed(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 100)
        clock.now += 3600
        yield from packets(dog, clock, 100, pts_s=4.0)

    assert watched(feed) is None


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_watchdog_and_clocks(jump_s: float) -> None:
    def jumps(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500, pts_s=4000)
        yield from packets(dog, clock, 500, pts_s=4020 + jump_s)

    def stands_still(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500)
        begin = clock.now
        for fault in packets(dog, clock, 500, pts_s=20.0, pts_step_s=0.0):
            if fault is not None:
                assert 5 < clock.now - begin < 5.2
            yield fault

    assert watched(jumps) is None
    assert watched(stands_still) == "its clock stands still"


def test_watchdog_and_floods() -> None:
    def burst(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500)
        clock.now += 10  # a stall, and then everything at once
        yield from packets(dog, clock, 250, step_s=0.0, pts_s=20.0)
        yield from packets(dog, clock, 500, pts_s=30.0)

    def flood(dog: StreamWatchdog, clock: Clock) -> Iterator[str | None]:
        yield from packets(dog, clock, 500)
        yield from packets(dog, clock, 2000, step_s=0.001, pts_s=20.0, pts_step_s=1e-5)

    assert watched(burst) is None
    assert watched(flood) == "it sends far more frames than it should"
    assert watched(flood, comes_in_bursts=True) is None


def late(*phases: tuple[float, float, float, float]) -> list[float]:
    """The times at which a reader has to leave packets out.

    A phase is its duration, and for each of 25 packets a second: how long the reader
    waits for it, how long it takes to process, and its step in time, all in seconds.
    """
    clock, time_s, found = Clock(), 50.0, list[float]()
    catch_up = CatchUp(clock)
    begin = clock.now
    for duration_s, wait_s, busy_s, step_s in phases:
        end = clock.now + duration_s
        while clock.now < end:
            clock.now += wait_s
            if catch_up.packet(time_s, wait_s):
                found.append(clock.now - begin)
            clock.now += busy_s
            time_s += step_s
    return found


def test_catch_up() -> None:
    good = (60, 0.03, 0.01, 0.04)
    assert late(good) == []
    # Too slow by a tenth: a lag of one second takes ten.
    assert 10 < late(good, (30, 0.0, 0.044, 0.04))[0] - 60 < 14
    # The line stalls for 5 s, and the reader catches up at three times the pace.
    assert late(good, (5, 5.0, 0.0, 0.04), (2.4, 0.0, 0.0133, 0.04), good) == []
    # A clock that is set back, or runs slightly slow for an hour.
    assert late(good, (0.04, 0.03, 0.01, -40.0), good) == []
    assert late((3600, 0.0305, 0.01, 0.04)) == []
