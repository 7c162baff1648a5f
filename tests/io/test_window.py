"""The window on a virtual display. PyAV is imported first, as in real use.

`Xvfb` and `xdotool` come from the packages ``xvfb`` and ``xdotool``. Without them the
tests are skipped, or fail where ``STREAMDENOISE_REQUIRE=display`` asks for them.
"""

# isort: off
import av  # first: in this process a window of cv2 would never open

# isort: on
import ctypes
import os
import re
import shutil
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.errors import SinkError
from streamdenoise.frame import ColorInfo, Frame
from streamdenoise.io.sinks.window import WindowSink
from tests.support.command import command, environment, outcome
from tests.support.skips import skip_or_fail
from tests.support.waiting import wait_until

WAIT_S = 20
PRESSED = {"s": "s", "plus": "+", "minus": "-", "r": "r", "q": "q"}
"""X11's names of keys, and ours."""
RED, BLUE = (200, 30, 30), (30, 30, 200)


def rgb_frame(color: tuple[int, int, int], width: int = 320, height: int = 240):
    plane = np.full((height, width, 3), color, np.uint8)
    return Frame((plane,), "rgb24", ColorInfo(), 0, Fraction(1, 30), 0, 0.0)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    missing = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
    if missing:
        skip_or_fail(
            "display",
            f"{' and '.join(missing)} not found: apt-get install xvfb xdotool",
        )
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24",
         "-noreset", "-nolisten", "tcp"],
        pass_fds=(writing,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait(WAIT_S)


@pytest.fixture
def shown(display: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DISPLAY", display)
    return display


def screen(display: str) -> np.ndarray:
    """A screenshot of the virtual display: ``(600, 800, 3)`` RGB."""
    options = {"video_size": "800x600", "framerate": "30"}
    with av.open(display, format="x11grab", options=options) as grab:
        return next(grab.decode(video=0)).to_ndarray(format="rgb24")


def pixels(display: str, color: tuple[int, int, int]) -> int:
    return int((np.abs(screen(display).astype(int) - color).max(axis=2) < 8).sum())


def wait_until_shown(shows: Callable[[], bool]) -> None:
    """Wait until `shows` is true, and map the window again if necessary.

    Without a window manager, Qt sometimes misses that its window has been mapped and
    never draws it.
    """
    mapped_at = time.monotonic()

    def is_shown() -> bool:
        nonlocal mapped_at
        if shows():
            return True
        if time.monotonic() - mapped_at > 2:
            search = ["xdotool", "search", "--name", "streamdenoise"]
            for action in ("windowunmap", "windowmap"):
                subprocess.run([*search, action], timeout=WAIT_S, check=False)
            mapped_at = time.monotonic()
        return False

    wait_until(is_shown)


def press(*keys: str) -> None:
    keystrokes = ["xdotool", "search", "--onlyvisible", "--name", "streamdenoise"]
    keystrokes += ["windowfocus", "--sync", "key", "--delay", "60", *keys]

    def pressed() -> bool:
        # A window that has just been mapped may not be found immediately; one that the
        # key has closed is gone before xdotool releases the key.
        result = subprocess.run(
            keystrokes, check=False, timeout=WAIT_S, capture_output=True, text=True
        )
        return result.returncode == 0 or "BadWindow" in result.stderr

    wait_until(pressed)


def click_close(display: str) -> None:
    """Send the message of a window manager when the close button is clicked."""
    search = ["xdotool", "search", "--onlyvisible", "--name", "streamdenoise"]
    found = subprocess.run(search, check=True, timeout=WAIT_S, capture_output=True)
    window = int(found.stdout.split()[0])
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (
        x11.XInternAtom(connection, name, 0)
        for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    client_message, bits = 33, 32
    message = struct.pack(
        "@iLiPLLillllq7q", client_message, 0, 1, 0, window, protocols, bits,
        delete, 0, 0, 0, 0, *[0] * 7,
    )  # fmt: skip
    x11.XSendEvent(connection, ctypes.c_ulong(window), 0, ctypes.c_long(0), message)
    x11.XCloseDisplay(connection)


@pytest.mark.needs_display
def test_frames_are_shown_and_keys_are_reported(shown: str):
    keys: list[str] = []
    with WindowSink(keys.append) as window:
        window.write(rgb_frame(RED))
        wait_until_shown(lambda: pixels(shown, RED) > 0.9 * 320 * 240)
        window.write(rgb_frame(BLUE, 160, 120))  # another size mid-stream
        wait_until(lambda: pixels(shown, BLUE) > 100 and pixels(shown, RED) == 0)
        for key, name in PRESSED.items():
            press(key)
            wait_until(lambda name=name: keys[-1:] == [name])
    assert keys == list(PRESSED.values())
    wait_until(lambda: pixels(shown, BLUE) == 0)
    window.close()


@pytest.mark.needs_display
def test_space_freezes_the_window(shown: str):
    with WindowSink(lambda key: None) as window:
        window.write(rgb_frame(RED))
        wait_until_shown(lambda: pixels(shown, RED) > 0)
        press("space")
        wait_until(lambda: window.frozen)
        window.write(rgb_frame(BLUE))
        assert pixels(shown, BLUE) == 0
        press("space")
        wait_until(lambda: not window.frozen)
        window.write(rgb_frame(BLUE))
        wait_until(lambda: pixels(shown, BLUE) > 0)


@pytest.mark.needs_display
def test_closing_the_window_sends_q_and_further_frames_are_ignored(shown: str):
    keys: list[str] = []
    quit_ = threading.Event()

    def on_key(key: str) -> None:
        keys.append(key)
        quit_.set()

    with WindowSink(on_key) as window:
        window.write(rgb_frame(RED))
        wait_until_shown(lambda: pixels(shown, RED) > 0)
        click_close(shown)
        assert quit_.wait(WAIT_S)
        window.write(rgb_frame(BLUE))
    assert keys == ["q"]


@pytest.mark.needs_display
def test_a_window_that_hangs_does_not_block_the_pipeline(shown: str):
    frame = rgb_frame(RED, 1920, 1080)
    with WindowSink(lambda key: None) as window:
        process = window._process
        process.send_signal(19)  # SIGSTOP: it stops reading
        started = time.monotonic()
        for _ in range(1000):
            window.write(frame)
        assert time.monotonic() - started < 1
    assert process.poll() is not None


@pytest.mark.needs_display
def test_a_window_that_crashes_is_an_error(shown: str):
    keys: list[str] = []
    window = WindowSink(keys.append)
    window._process.kill()
    wait_until(lambda: bool(keys))
    with window, pytest.raises(SinkError, match="closed unexpectedly"):
        window.write(rgb_frame(RED))


@pytest.mark.needs_display
def test_a_script_without_a_main_guard_can_open_a_window(shown: str, tmp_path: Path):
    script = tmp_path / "user_script.py"
    script.write_text(
        textwrap.dedent("""
        import av
        from streamdenoise.io.sinks.window import WindowSink
        with WindowSink(print):
            print("opened")
        """)
    )
    done = outcome([sys.executable, script])
    assert (done.returncode, done.stdout) == (0, "opened\n"), done.stderr


@pytest.mark.needs_display
@pytest.mark.timeout(90)
def test_live_shows_the_stream_and_handles_keys(shown: str, tmp_path: Path):
    args = ("testsrc:320x240@25", "--add-noise", 20, "--backend", "onnxruntime")
    process = subprocess.Popen(
        command("live", *args),
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: visible_windows() > 0)
        wait_until_shown(lambda: len(np.unique(screen(shown))) > 100)
        press("s")
        press("plus")
        press("r")
        wait_until(lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
        press("r")
        wait_until(lambda: [path.suffix for path in tmp_path.iterdir()] == [".mp4"])
        press("q")
        _, errors = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    (recording,) = tmp_path.iterdir()
    assert recording.name.startswith("streamdenoise-20")
    with av.open(str(recording)) as container:
        assert next(container.decode(video=0)).width == 320
    assert f"note: recorded {recording.name}" in errors
    # Clipped at the pure colors of the pattern, see test_sources.
    assert re.search(r", PSNR (29|30)\.\d+ -> 3", errors)


def visible_windows() -> int:
    search = ["xdotool", "search", "--onlyvisible", "--name", "streamdenoise"]
    found = subprocess.run(search, capture_output=True, timeout=WAIT_S, check=False)
    return len(found.stdout.split())


def test_without_a_display_the_error_names_the_option(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(SinkError, match="no display; use --no-window"):
        WindowSink(lambda key: None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs X11")
def test_a_missing_display_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISPLAY", ":9876")
    with pytest.raises(SinkError, match="':9876'; check it, or use --no-window"):
        WindowSink(lambda key: None)
