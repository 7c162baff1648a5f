"""One thread's way to end what another one waits for."""

import threading
from collections.abc import Callable


class Interruption:
    """Set once, from any thread; it then does what was asked for, and stays set."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # signal handlers may set it
        self._is_set = False
        self._actions: list[Callable[[], None]] = []

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Do everything that was added; further calls do nothing."""
        with self._lock:
            self._is_set = True
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def add(self, action: Callable[[], None]) -> None:
        """Have `action` done when this is set; at once where it is set already."""
        with self._lock:
            if not self._is_set:
                self._actions.append(action)
                return
        action()

    def remove(self, action: Callable[[], None]) -> None:
        """Forget `action`; nothing happens where it is not known any more."""
        with self._lock:
            if action in self._actions:
                self._actions.remove(action)
