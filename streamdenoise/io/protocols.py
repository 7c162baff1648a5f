"""The interfaces of sources and sinks."""

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from streamdenoise.frame import Frame, StreamInfo

if TYPE_CHECKING:
    from streamdenoise.io.ffmpeg.beside import Beside


class _Context(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@runtime_checkable
class Source(_Context, Protocol):
    """Yields frames once, in presentation order; used by one thread at a time."""

    @property
    def info(self) -> StreamInfo:
        """Properties of the stream; its `notes` grow while frames are read."""
        ...

    @property
    def skipped(self) -> int:
        """Packets or images that could not be decoded so far."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the end of the stream, with increasing timestamps.

        After a reconnection they may start over, and in another time base.

        Raises:
            SourceLostError: The source failed in mid-stream, or sent nothing for longer
                than its time-out.
        """
        ...

    def close(self) -> None:
        """Release the device or file; further calls do nothing."""
        ...


@runtime_checkable
class Sink(_Context, Protocol):
    """Takes frames in presentation order; used by one thread at a time.

    As a context manager, it calls `close` after success, `abort` after an exception.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """One-line notes for the user, such as about a stream that was left out."""
        ...

    def write(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            SinkError: It could not be encoded or written.
            ValueError: The frame's size or format differs from that of `open_sink`.
        """
        ...

    def close(self) -> None:
        """Finish the output and give it its final name; further calls do nothing.

        Raises:
            SinkError: The output could not be finished.
        """
        ...

    def abort(self) -> None:
        """Finish the output after a failure, without raising.

        A file stays playable, but keeps its temporary name, unless it is a recording,
        which is whole whenever it ends.
        """
        ...


@runtime_checkable
class Accompanied(Protocol):
    """A source of files, which may hold more than a video."""

    @property
    def beside(self) -> "Beside | None":
        """The other streams, chapters and tags; None for a live stream."""
        ...


def beside_of(source: Source) -> "Beside | None":
    """What `source` holds beside its video, for `open_sink`; None if nothing."""
    return source.beside if isinstance(source, Accompanied) else None


@runtime_checkable
class CatchingUp(Protocol):
    """A source that leaves out frames when decoding is too slow for the stream."""

    @property
    def left_out(self) -> int:
        """Number of frames that were left out so far; they count as skipped, too."""
        ...


@runtime_checkable
class Compressed(Protocol):
    """A source that decodes packets."""

    @property
    def bytes_read(self) -> int:
        """Size of the video's packets so far; 0 if they are not compressed."""
        ...


@runtime_checkable
class Recovering(Protocol):
    """A source or sink that reconnects by itself when it is lost."""

    @property
    def reconnects(self) -> int:
        """Number of reconnections so far."""
        ...

    @property
    def error(self) -> str:
        """Why it is away; empty while it works."""
        ...


@runtime_checkable
class RecoveringSink(Recovering, Protocol):
    """A `Recovering` sink, which drops frames while it is away."""

    @property
    def dropped(self) -> int:
        """Number of frames that were not written."""
        ...

    def interrupt(self) -> None:
        """End waits for the network, from any thread; nothing more is written."""
        ...


@runtime_checkable
class Proving(Protocol):
    """A sink that knows whether frames have arrived, where a write proves nothing."""

    @property
    def is_proven(self) -> bool:
        """Whether frames have reached the disk."""
        ...
