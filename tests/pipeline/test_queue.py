"""The queue: order, overflow, errors, and no thread that waits forever."""

import threading
from collections.abc import Callable

import pytest

from streamdenoise.pipeline.queue import FrameQueue, Overflow
from tests.support.clock import Clock


def start(target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target)
    thread.start()
    return thread


def test_items_come_out_in_order_and_iteration_ends_after_close():
    queue = FrameQueue[int](capacity=3)
    assert all(queue.put(item) for item in range(3))
    queue.close()
    assert list(queue) == [0, 1, 2]
    assert list(queue) == []


def test_blocking_loses_nothing_through_a_tiny_queue():
    queue = FrameQueue[int](capacity=1)

    def produce():
        for item in range(200):
            queue.put(item)
        queue.close()

    thread = start(produce)
    assert list(queue) == list(range(200))
    thread.join(5)
    assert not thread.is_alive()
    assert queue.dropped == 0


def test_drop_oldest_keeps_the_newest_and_counts_exactly():
    queue = FrameQueue[int](capacity=4, overflow=Overflow.DROP_OLDEST)
    for item in range(10):
        assert queue.put(item)
    assert (queue.dropped, len(queue)) == (6, 4)
    queue.close()
    assert list(queue) == [6, 7, 8, 9]
    assert queue.dropped == 6


def test_the_producers_error_comes_after_its_items_with_its_own_type():
    queue = FrameQueue[int]()
    error = KeyError("camera")
    queue.put(1)
    queue.close(error)
    queue.close()  # the producer's finally
    with pytest.raises(KeyError) as caught:
        list(queue)
    assert caught.value is error


def test_items_before_an_error_are_delivered():
    queue = FrameQueue[int]()
    queue.put(1)
    queue.put(2)
    queue.close(ValueError("broken"))
    stream = iter(queue)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_a_late_error_does_not_replace_a_regular_close():
    queue = FrameQueue[int]()
    queue.close()
    queue.close(ValueError("too late"))
    assert list(queue) == []


def test_discard_wakes_a_blocked_put_and_refuses_the_item():
    queue = FrameQueue[int](capacity=1)
    queue.put(0)
    answers = []
    thread = start(lambda: answers.append(queue.put(1)))
    queue.close(discard=True)
    thread.join(5)
    assert not thread.is_alive()
    assert answers == [False]
    assert list(queue) == []
    assert queue.put(2) is False


def test_discard_wakes_a_waiting_consumer():
    queue = FrameQueue[int]()
    got = []
    thread = start(lambda: got.extend(queue))
    queue.close(discard=True)
    thread.join(5)
    assert not thread.is_alive()
    assert got == []


def test_discard_drops_items_and_error():
    queue = FrameQueue[int]()
    queue.put(1)
    queue.close(ValueError("unread"))
    queue.close(discard=True)
    assert list(queue) == []
    assert queue.error is None


def test_closing_while_holding_the_lock_does_not_deadlock():
    # A signal handler does this when it interrupts the main thread inside `put`.
    queue = FrameQueue[int]()
    with queue._changed:
        queue.close(discard=True)
    assert queue.put(1) is False


def test_capacity_must_be_positive():
    with pytest.raises(ValueError, match="got 0"):
        FrameQueue(capacity=0)


def test_a_burst_after_a_pause_is_kept_for_a_consumer_that_keeps_up():
    clock = Clock(0.0)
    queue = FrameQueue[int](4, Overflow.DROP_OLDEST, burst=20, clock=clock)
    for item in range(15):
        queue.put(item)
    assert [queue.take() for _ in range(15)] == list(range(15))
    assert queue.dropped == 0
    for item in range(30):  # more than a burst may have
        queue.put(item)
    assert queue.dropped == 26
    assert [queue.take() for _ in range(4)] == [26, 27, 28, 29]


def test_a_consumer_that_is_behind_gets_no_bursts():
    clock = Clock(0.0)
    queue = FrameQueue[int](4, Overflow.DROP_OLDEST, burst=20, clock=clock)
    for item in range(200):  # 25 per second arrive, 12 are taken
        queue.put(item)
        clock.now += 0.04
        if item % 2:
            queue.take()
        if clock.now > 1.5:
            assert len(queue) <= 4
    assert queue.dropped == 200 - 100 - len(queue)
    while len(queue):
        queue.take()
    for item in range(10):  # it has caught up, so bursts are allowed again
        queue.put(item)
    assert len(queue) == 10
