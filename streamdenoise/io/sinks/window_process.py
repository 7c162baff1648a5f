"""The window: a separate program that shows the frames it reads from stdin.

It is run by file name and imports nothing from the package: OpenCV's Qt window never
opens after PyAV has been loaded, and a child of `multiprocessing` would import the
user's main module, including PyAV.

Input on stdin, for each frame: height and width as little-endian ``uint32``, then
``height * width * 3`` bytes of RGB. Output on stdout, one word a line: ``ready`` once,
``next`` after showing a frame, and the names of keys.
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
"""Largest initial size of the window, which fits on common screens."""

REPAINT_S = 0.2
"""Interval for redrawing a still frame: drawing while the window is being mapped may
have no effect."""


class Inbox:
    """The latest frame from stdin, and whether stdin has ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.frame: np.ndarray | None = None
        self.ended = False

    def fill(self) -> None:
        """Read frames until stdin ends."""
        stream = sys.stdin.buffer
        while len(header := stream.read(HEADER.size)) == HEADER.size:
            height, width = HEADER.unpack(header)
            data = stream.read(height * width * 3)
            if len(data) < height * width * 3:
                break
            rgb = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            with self.lock:
                self.frame = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        with self.lock:
            self.ended = True

    def take(self) -> tuple[np.ndarray | None, bool]:
        with self.lock:
            frame, self.frame = self.frame, None
            return frame, self.ended


def send(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def is_open(title: str) -> bool:
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # OpenCV 5 raises for a window that has been closed
        return False


def show(title: str) -> None:
    """Show frames and send keys until stdin ends or the window is closed."""
    cv2.namedWindow(
        title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
    )
    cv2.waitKey(1)
    send("ready")
    inbox = Inbox()
    threading.Thread(target=inbox.fill, daemon=True).start()
    shape = last = None
    shown_at = 0.0
    while True:
        frame, ended = inbox.take()
        if frame is not None:
            if frame.shape != shape:
                shape = frame.shape
                height, width = shape[:2]
                scale = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
                size = (max(1, round(width * scale)), max(1, round(height * scale)))
                cv2.resizeWindow(title, *size)
            cv2.imshow(title, frame)
            last, shown_at = frame, time.monotonic()
        elif ended:
            return
        elif last is not None and time.monotonic() - shown_at > REPAINT_S:
            cv2.imshow(title, last)
            shown_at = time.monotonic()
        key = cv2.waitKey(5)
        if frame is not None:
            send("next")
        if key >= 0 and (name := KEYS.get(key & 0xFF)):
            send(name)
        if not is_open(title):
            return


if __name__ == "__main__":
    # Ctrl-C in a terminal reaches this process, too; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        show(sys.argv[1])
    # Immediately: a normal exit would wait for the lock of stdin, which is being read.
    os._exit(0)
