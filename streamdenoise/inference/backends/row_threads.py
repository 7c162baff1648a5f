"""Shares the rows of an array out to threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class RowThreads:
    """A few threads, of which the caller's is one.

    They start when they are first needed.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def run(self, work: Callable[[int, int, int], object], rows: int) -> None:
        """Call `work` with the number of a thread, its first row, and its end.

        Threads without a row are not called.
        """
        count = min(self.threads, rows)
        bounds = [i * rows // count for i in range(count + 1)]
        parts = list(zip(range(count), bounds[:-1], bounds[1:], strict=True))
        others = [self._pool.submit(work, *part) for part in parts[1:] if self._pool]
        work(*parts[0])
        for each in others:
            each.result()

    def close(self) -> None:
        """End the threads; may be called again."""
        if self._pool is not None:
            self._pool.shutdown()
