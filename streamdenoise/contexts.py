"""What happens when the context of a source, a sink or a denoiser is left."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A context that closes, whatever happened in it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; further calls do nothing."""

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
    """A context that makes its work complete, or leaves it where that failed."""

    @abstractmethod
    def abort(self) -> None:
        """Close without anything that makes the work complete."""

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
