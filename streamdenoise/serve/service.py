"""The seam between the cameras and everything that watches or controls them."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from streamdenoise.errors import StreamDenoiseError
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.states import (
    CameraChange,
    CameraState,
    Event,
    Point,
    Recording,
)


class UnknownCameraError(StreamDenoiseError):
    """No camera, or no recording of it, has this name."""


class CameraAwayError(StreamDenoiseError):
    """The camera has no video to show at present."""


class Cameras(Protocol):
    """The running cameras; used from one asyncio loop.

    Every method that takes a name raises `UnknownCameraError` if no camera has it.
    """

    def states(self) -> Sequence[CameraState]:
        """All cameras, in the order of the configuration."""
        ...

    def state(self, name: str) -> CameraState: ...

    async def change(self, name: str, change: CameraChange) -> CameraState:
        """Change settings until the service ends or the camera's configuration changes.

        Returns:
            The state after the change.

        Raises:
            ConfigError: A value cannot be used; nothing was changed.
        """
        ...

    async def frame(self, name: str, side: Side, width: int | None = None) -> bytes:
        """The latest frame as JPEG, no wider than `width` pixels.

        Raises:
            CameraAwayError: There is none.
        """
        ...

    def watch(self, name: str, side: Side) -> AsyncIterator[Fragment]:
        """Live video: a header, then fragments from a key frame on.

        A reader that is too slow misses fragments up to the next key frame. When the
        stream changes, such as after a reconnection, another header follows. While the
        camera is away nothing comes. Closing the iterator ends the watching; what
        nobody watches is not encoded. When the camera is removed from the
        configuration, the iterator raises `UnknownCameraError`.
        """
        ...

    def history(self, name: str) -> Sequence[Point]:
        """Figures of the last hour, oldest first."""
        ...

    def events(self, name: str | None = None) -> Sequence[Event]:
        """The last events of a camera, or of all and the service, newest first."""
        ...

    async def recordings(self, name: str) -> Sequence[Recording]:
        """Recorded files of a camera, newest first."""
        ...

    async def recording_path(self, name: str, recording_id: str) -> Path:
        """Path of a recorded file, always inside the camera's own folder.

        Raises:
            UnknownCameraError: There is no such recording.
        """
        ...

    async def delete_recording(self, name: str, recording_id: str) -> None: ...
