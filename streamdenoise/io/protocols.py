"""What every source and every sink can do."""

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from streamdenoise.frame import Frame, StreamInfo


@runtime_checkable
class Source(Protocol):
    """Gives frames once, in order of presentation; used by one thread at a time."""

    @property
    def info(self) -> StreamInfo:
        """What is known of the stream; its `notes` grow while frames are read."""
        ...

    @property
    def skipped(self) -> int:
        """Packets or pictures that could not be decoded so far."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the end of the stream.

        Raises:
            SourceLostError: The source stopped in mid-stream, or fell silent for
                longer than its time-out.
        """
        ...

    def close(self) -> None:
        """Let go of the device or file; may be called any number of times."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Sink(Protocol):
    """Takes frames in order of presentation; used by one thread at a time."""

    @property
    def notes(self) -> tuple[str, ...]:
        """One-line remarks for the user, such as a stream that was left out."""
        ...

    def write(self, frame: Frame) -> None:
        """Take one frame.

        Raises:
            SinkError: It could not be encoded or written.
            ValueError: The frame's size or format is not the one of `open_sink`.
        """
        ...

    def close(self) -> None:
        """Finish the output and give it its final name; further calls do nothing.

        Raises:
            SinkError: The output could not be finished.
        """
        ...

    def abort(self) -> None:
        """Finish what is there after a failure, without raising.

        A file stays playable, but never replaces an older one.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """`close` after success, `abort` after an exception."""
        ...


@runtime_checkable
class Recovering(Protocol):
    """A source or sink that comes back by itself after it was lost."""

    @property
    def reconnects(self) -> int:
        """How often it came back."""
        ...

    @property
    def error(self) -> str:
        """Why it is away; empty while it works."""
        ...


@runtime_checkable
class RecoveringSink(Recovering, Protocol):
    """A sink of that kind: it drops frames while it is away."""

    @property
    def dropped(self) -> int:
        """Frames that were not written."""
        ...

    def interrupt(self) -> None:
        """End a wait for the network, from any thread; nothing more is written."""
        ...
