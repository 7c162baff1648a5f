"""The boundary between two threads of a pipeline: a bounded queue that always ends."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from threading import Condition
from typing import Generic, TypeVar

from streamdenoise.stage_times import Work, timed


class Overflow(StrEnum):
    """Policy of a full queue."""

    BLOCK = "block"
    """The producer waits, and nothing is lost. For files."""
    DROP_OLDEST = "drop_oldest"
    """The oldest frame is discarded and counted. For live sources."""


T = TypeVar("T")

_BURST_S = 1.0
"""If a burst takes the consumer longer than this, it is a lag."""


class FrameQueue(Generic[T]):
    """A bounded first-in, first-out queue between one producer and one consumer.

    The producer calls `put` for each item, then `close`, with its error if it failed.
    The consumer iterates over the items, and then the error is raised again. A consumer
    that leaves early calls ``close(discard=True)``, which wakes a producer that waits
    in `put`.

    Every method may be called from any thread, and from a signal handler: the
    condition's lock is re-entrant.
    """

    def __init__(
        self,
        capacity: int = 4,
        overflow: Overflow = Overflow.BLOCK,
        *,
        burst: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty queue.

        Args:
            capacity: Most items to hold.
            overflow: Policy when it is full.
            burst: Most items to hold briefly instead of dropping the oldest, when many
                arrive at once after a pause and the consumer was not behind before. A
                consumer that is fast enough gets them all. None means `capacity`.
            clock: Returns seconds.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._burst = max(capacity, burst or 0)
        self._clock = clock
        self._over_since: float | None = None
        self._is_behind = False
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._changed = Condition()
        self._closed = False
        self._error: BaseException | None = None
        self._dropped = 0

    def put(self, item: T) -> bool:
        """Append an item; if the queue is full, wait or drop the oldest one.

        Returns:
            False if the queue is closed: the item was not taken, and the producer
            should end.
        """
        with self._changed:
            if self._overflow is Overflow.BLOCK:
                with timed(Work.WAIT):
                    self._changed.wait_for(
                        lambda: self._closed or len(self._items) < self._capacity
                    )
            if self._closed:
                return False
            self._items.append(item)
            if len(self._items) > self._capacity:
                self._drop_oldest()
            self._changed.notify_all()
            return True

    def _drop_oldest(self) -> None:
        """Shrink to `capacity`, unless this is a burst that the consumer can handle."""
        now = self._clock()
        if self._over_since is None:
            self._over_since = now
        is_burst = len(self._items) <= self._burst
        if is_burst and not self._is_behind and now - self._over_since < _BURST_S:
            return
        # From now on the oldest are dropped, until the queue has been empty.
        self._is_behind = True
        while len(self._items) > self._capacity:
            self._items.popleft()
            self._dropped += 1

    def take(self, timeout_s: float | None = None) -> T | None:
        """The oldest item; None if none arrived in time, or none will (see `ended`).

        Raises:
            BaseException: The producer's error, after the last item.
        """
        with self._changed:
            with timed(Work.WAIT):
                self._changed.wait_for(lambda: self._closed or self._items, timeout_s)
            if self._items:
                item = self._items.popleft()
                if not self._items:
                    self._over_since, self._is_behind = None, False
                self._changed.notify_all()
                return item
            if self._closed and self._error is not None:
                raise self._error
            return None

    def __iter__(self) -> Iterator[T]:
        """All items in order, until the queue is closed.

        Raises:
            BaseException: The producer's error, after the last item.
        """
        while (item := self.take()) is not None or not self.ended:
            if item is not None:
                yield item

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more items."""
        return self._closed

    @property
    def ended(self) -> bool:
        """Whether the queue is closed and empty."""
        with self._changed:
            return self._closed and not self._items

    def close(
        self, error: BaseException | None = None, *, discard: bool = False
    ) -> None:
        """Take no more items; may be called repeatedly, and the first error is kept.

        Args:
            error: The producer's error; the consumer gets it after the items.
            discard: Drop the items and any error, because the consumer is leaving.
        """
        with self._changed:
            if discard:
                self._items.clear()
                self._error = None
            elif not self._closed:
                self._error = error
            self._closed = True
            self._changed.notify_all()

    @property
    def error(self) -> BaseException | None:
        """The producer's error, which the consumer gets after the last item."""
        return self._error

    @property
    def dropped(self) -> int:
        """Number of items dropped because the queue was full."""
        return self._dropped

    def __len__(self) -> int:
        return len(self._items)
