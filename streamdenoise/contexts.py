"""Context managers for sources, sinks and denoisers."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A context manager that always calls `close` at the end."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; further calls do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Completing(Closing):
    """A context manager that completes its work, or aborts it after an exception."""

    @abstractmethod
    def abort(self) -> None:
        """Close without completing the work."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """`close` after success, `abort` after an exception."""
        if exc_type is None:
            self.close()
        else:
            self.abort()
