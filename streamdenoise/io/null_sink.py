"""An output that keeps nothing, for measuring."""

from types import TracebackType
from typing import Self

from streamdenoise.frame import Frame


class NullSink:
    """Takes frames and forgets them."""

    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.frames = 0
        """How many frames it took."""

    def write(self, frame: Frame) -> None:
        self.frames += 1

    def close(self) -> None:
        """Nothing to finish."""

    def abort(self) -> None:
        """Nothing to finish."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
