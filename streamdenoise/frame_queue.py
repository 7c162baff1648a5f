"""The one thread boundary of a pipeline: a bounded queue that always ends."""

from collections import deque
from collections.abc import Iterator
from threading import Condition
from typing import Generic, TypeVar

from streamdenoise.config import Overflow

T = TypeVar("T")


class FrameQueue(Generic[T]):
    """A bounded first-in, first-out queue between one producer and one consumer.

    The producer calls `put` until it has no more, then `close`, with its error if it
    had one. The consumer iterates: it gets everything that was put, then the error is
    raised again. A consumer that leaves early calls ``close(discard=True)``, which
    wakes a producer that waits in `put`.

    Every method may be called from any thread, also from a signal handler: the
    condition's lock is re-entrant.
    """

    def __init__(self, capacity: int = 4, overflow: Overflow = Overflow.BLOCK) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._changed = Condition()
        self._closed = False
        self._error: BaseException | None = None
        self._dropped = 0

    def put(self, item: T) -> bool:
        """Append `item`; a full queue waits or drops its oldest, as its policy says.

        Returns:
            False when the queue is closed: the item was not taken, the producer
            should end.
        """
        with self._changed:
            if self._overflow is Overflow.BLOCK:
                self._changed.wait_for(
                    lambda: self._closed or len(self._items) < self._capacity
                )
            if self._closed:
                return False
            if len(self._items) == self._capacity:
                self._items.popleft()
                self._dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def __iter__(self) -> Iterator[T]:
        """Give the items in order; end, or raise the producer's error, once closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._items)
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def close(
        self, error: BaseException | None = None, *, discard: bool = False
    ) -> None:
        """Take no more items; any number of times, the first error is kept.

        Args:
            error: What ended the producer; the consumer gets it after the items.
            discard: Forget the waiting items and any error: the consumer is leaving.
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
        """The producer's error that `__iter__` raises after the last item."""
        return self._error

    @property
    def dropped(self) -> int:
        """Items that the drop-oldest policy has discarded so far."""
        return self._dropped

    def __len__(self) -> int:
        return len(self._items)
