"""What has happened to the cameras and to the service."""

import logging
import time
from collections import deque
from collections.abc import Sequence

from streamdenoise.security.masking import mask_credentials
from streamdenoise.security.plain_text import printable
from streamdenoise.serve.states import Event

log = logging.getLogger(__name__)

_MOST = 200
"""Events of each camera that are kept: one in trouble leaves those of the others."""


class EventLog:
    """The last events of each camera and of the service; also written to the log."""

    def __init__(self) -> None:
        self._events: dict[str, deque[Event]] = {}
        self.remember("")

    def add(
        self, camera: str, kind: str, text: str, level: int = logging.WARNING
    ) -> None:
        """Note that something happened; of a forgotten camera, in the log alone.

        Args:
            camera: Its name; empty for the service itself.
            kind: See `Event.kind`.
            text: One sentence.
            level: Of the line in the log.
        """
        text = printable(mask_credentials(text))
        log.log(level, "%s%s", f"camera {camera}: " if camera else "", text)
        event = Event(time=time.time(), camera=camera, kind=kind, text=text)
        if (events := self._events.get(camera)) is not None:
            events.append(event)

    def remember(self, camera: str) -> None:
        """Keep the events of a camera from now on."""
        self._events[camera] = deque(maxlen=_MOST)

    def forget(self, camera: str) -> None:
        """Drop the events of a camera that is no longer configured."""
        self._events.pop(camera, None)

    def latest(self, camera: str | None = None) -> Sequence[Event]:
        """Events of a camera, or of all and the service, newest first."""
        names = self._events if camera is None else [camera]
        found = [each for name in names for each in self._events.get(name, ())]
        return sorted(found, key=lambda each: each.time, reverse=True)
