"""A window that shows the latest frame and never slows down the pipeline."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread, current_thread
from typing import IO

import cv2

from streamdenoise.contexts import Closing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.io.sinks.window_process import HEADER
from streamdenoise.security.import_path import python_child

_PROGRAM = Path(__file__).with_name("window_process.py")


class WindowSink(Closing):
    """Shows frames in a window that runs in a separate process.

    `write` only hands the frame to a sender thread, replacing one that is still waiting
    there. A frame is sent once the previous one is on the screen.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        on_key: Callable[[str], object],
        *,
        title: str = "streamdenoise",
        start_timeout_s: float = 30.0,
    ) -> None:
        """Open the window and wait until it is visible.

        Args:
            on_key: Called from a thread of the sink with ``q``, ``s``, ``r``, ``+``
                or ``-``. Closing the window sends ``q``; space freezes the image.
            title: Title of the window.
            start_timeout_s: Longest wait for the window, in seconds.

        Raises:
            SinkError: There is no display, or the window cannot be opened on it.
        """
        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            raise SinkError(
                "the window cannot be opened: this machine has no display; "
                "use --no-window with -o TARGET"
            )
        self.frozen = False
        """Whether the window keeps showing the same frame, whatever is written."""
        self._on_key = on_key
        self._changed = Condition()
        self._newest: Frame | None = None
        if not cv2.currentUIFramework():
            raise SinkError(
                "the window cannot be opened: opencv-python-headless has no windows; "
                "pip uninstall it and pip install opencv-python, or use --no-window "
                "with -o TARGET"
            )
        self._ready = False
        self._may_send = True
        self._closing = False
        self._ended = False
        command, environment = python_child(str(_PROGRAM), title)
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Qt warns about fonts
        )
        self._threads = (
            Thread(target=self._receive, name="window-keys"),
            Thread(target=self._send, name="window-frames"),
        )
        for thread in self._threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended, start_timeout_s)
            opened = self._ready
        if not opened:
            self.close()
            raise SinkError(
                "the window cannot be opened on display "
                f"{os.environ.get('DISPLAY', '')!r}; check it, or use --no-window "
                "with -o TARGET"
            )

    def write(self, frame: Frame) -> None:
        """Show `frame` next; never blocks.

        Raises:
            SinkError: The window's process has crashed.
        """
        with self._changed:
            if self._ended and self._process.poll() not in (0, None):
                raise SinkError(
                    "the window closed unexpectedly; start again, or use --no-window"
                )
            if not self.frozen:
                self._newest = frame
                self._changed.notify_all()

    def close(self) -> None:
        """Close the window after showing the last frame; further calls do nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            if thread is not current_thread():
                thread.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def abort(self) -> None:
        """Same as `close`: a window has nothing to complete."""
        self.close()

    def _receive(self) -> None:
        """Read messages from the window's process until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word = line.decode().strip()
            if word in ("ready", "next"):
                with self._changed:
                    self._ready = True
                    self._may_send = True
                    self._changed.notify_all()
            elif word == "space":
                self.frozen = not self.frozen
            else:
                self._on_key(word)
        with self._changed:
            self._ended = True
            closed_by_user = self._ready and not self._closing
            self._changed.notify_all()
        if closed_by_user:
            self._on_key("q")

    def _send(self) -> None:
        """Send the latest frame whenever the window accepts one, until the end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            while (frame := self._next_frame()) is not None:
                _send_frame(pipe, frame)

    def _next_frame(self) -> Frame | None:
        """Wait for a frame and until the window accepts it; None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._ended
                    or (self._newest is not None and self._may_send)
                    or (self._newest is None and self._closing)
                )
            )
            if self._ended:
                return None
            frame, self._newest = self._newest, None
            self._may_send = False
            return frame


def _send_frame(pipe: IO[bytes], frame: Frame) -> None:
    rgb = frame_to_rgb(frame)
    pipe.write(HEADER.pack(frame.height, frame.width))
    pipe.write(rgb.data)
    pipe.flush()
