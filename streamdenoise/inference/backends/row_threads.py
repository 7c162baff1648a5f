"""Shares the rows of an array out to threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class RowThreads:
    """A few threads, of which the caller's is one."""

    def __init__(self, threads: int) -> None:
        """Start threads when they are first needed."""
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def run(self, work: Callable[[int, int, int], object], rows: int) -> None:
        """Call `work` with the number of a thread, its first row, and its end."""
        bounds = [i * rows // self.threads for i in range(self.threads + 1)]
        parts = [(i, *bounds[i : i + 2]) for i in range(self.threads)]
        waiting = (
            [self._pool.submit(work, *part) for part in parts[1:]] if self._pool else []
        )
        work(*parts[0])
        for each in waiting:
            each.result()

    def close(self) -> None:
        """End the threads; may be called again."""
        if self._pool is not None:
            self._pool.shutdown()
