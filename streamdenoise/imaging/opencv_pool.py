"""OpenCV's threads, of which the process has one pool."""

from collections.abc import Generator
from contextlib import contextmanager

import cv2

from streamdenoise.threads import thread_limit


@contextmanager
def limited_opencv() -> Generator[None]:
    """Keep OpenCV within `thread_limit` meanwhile."""
    before, limit = cv2.getNumThreads(), thread_limit()
    if limit is not None:
        cv2.setNumThreads(limit)
    try:
        yield
    finally:
        if limit is not None:
            cv2.setNumThreads(before)
