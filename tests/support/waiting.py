"""Waiting for another thread or process."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], bool], timeout_s: float = 50.0, poll_s: float = 0.02
) -> None:
    """Return as soon as `condition` holds; fail after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened within {timeout_s:g} s"
        time.sleep(poll_s)
