"""The window itself: a program of its own that shows what arrives on stdin.

It is run by file name and imports nothing of the package: with PyAV loaded first,
OpenCV's Qt window never opens, and a child made by `multiprocessing` would import the
user's main module, PyAV included.

In, on stdin, for each picture: height and width as little-endian ``uint32``, then
``height * width * 3`` bytes of RGB. Out, on stdout, one word a line: ``ready`` once,
``next`` when a picture has been shown, and the names of keys.
"""

import contextlib
import os
import signal
import struct
import sys
import threading
import time

import cv2
import numpy as np

HEADER = struct.Struct("<II")
KEYS = {
    **{ord(letter): letter for letter in "qsr+-"},
    27: "q",
    ord("="): "+",  # the plus key without shift
    ord("_"): "-",
    ord(" "): "space",
}
LARGEST = (1600, 900)
"""First size of the window at most, so that it fits on common screens."""

REPAINT_S = 0.2
"""A still picture is painted again this often: what is painted while the window is
being mapped may be lost."""


class Inbox:
    """The newest picture that has arrived, and whether more can come."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.picture: np.ndarray | None = None
        self.ended = False

    def fill(self) -> None:
        """Read pictures until stdin ends."""
        stream = sys.stdin.buffer
        while len(header := stream.read(HEADER.size)) == HEADER.size:
            height, width = HEADER.unpack(header)
            data = stream.read(height * width * 3)
            if len(data) < height * width * 3:
                break
            rgb = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            with self.lock:
                self.picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        with self.lock:
            self.ended = True

    def take(self) -> tuple[np.ndarray | None, bool]:
        with self.lock:
            picture, self.picture = self.picture, None
            return picture, self.ended


def tell(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def is_open(title: str) -> bool:
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # OpenCV 5 raises for a window that has been closed
        return False


def show(title: str) -> None:
    """Show pictures and tell keys until stdin ends or the window is closed."""
    cv2.namedWindow(
        title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
    )
    cv2.waitKey(1)
    tell("ready")
    inbox = Inbox()
    threading.Thread(target=inbox.fill, daemon=True).start()
    shape = last = None
    shown_at = 0.0
    while True:
        picture, ended = inbox.take()
        if picture is not None:
            if picture.shape != shape:
                shape = picture.shape
                height, width = shape[:2]
                scale = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
                size = (max(1, round(width * scale)), max(1, round(height * scale)))
                cv2.resizeWindow(title, *size)
            cv2.imshow(title, picture)
            last, shown_at = picture, time.monotonic()
        elif ended:
            return
        elif last is not None and time.monotonic() - shown_at > REPAINT_S:
            cv2.imshow(title, last)
            shown_at = time.monotonic()
        key = cv2.waitKey(5)
        if picture is not None:
            tell("next")
        if key >= 0 and (name := KEYS.get(key & 0xFF)):
            tell(name)
        if not is_open(title):
            return


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches this process too; the other one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        show(sys.argv[1])
    # At once: the reading thread may wait in stdin, whose lock a tidy exit would want.
    os._exit(0)
