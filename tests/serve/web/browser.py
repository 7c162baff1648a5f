"""Chromium, and what the tests read from its pages."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.support.skips import skip_or_fail

WAIT_MS = 60_000

# `shown`: differences between neighbors in a row, mostly noise, in each half of what is
# shown. `whole`: difference between the two frames in the video of double width.
_MEASURES = """
window.pixels = (source, x, width, height) => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d');
  context.drawImage(source, x, 0, width, height, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data.filter((_, n) => n % 4 == 1);
};
window.roughness = (data, width) => {
  let sum = 0;
  for (let n = 1; n < data.length; n++) {
    if (n % width) sum += Math.abs(data[n] - data[n - 1]);
  }
  return sum / data.length;
};
window.shown = () => {
  const canvas = document.getElementById('canvas');
  const [half, height] = [Math.floor(canvas.width / 2), canvas.height];
  if (canvas.width < 100) return null;
  return [0, half].map(x => roughness(pixels(canvas, x, half, height), half));
};
window.whole = () => {
  const video = document.getElementById('video');
  const [half, height] = [video.videoWidth / 2, video.videoHeight];
  if (!half) return null;
  const [before, after] = [0, half].map(x => pixels(video, x, half, height));
  let sum = 0;
  for (let n = 0; n < before.length; n++) sum += Math.abs(before[n] - after[n]);
  return sum / before.length;
};
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        skip_or_fail("chromium", "chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@contextmanager
def tab(browser: Browser, base: str, **options: object) -> Iterator[Page]:
    """A page of a browser without cookies; fails if a script has an error.

    Args:
        browser: Where it is opened.
        base: Address that paths are relative to.
        options: Of `Browser.new_context`.
    """
    context = browser.new_context(base_url=base, **options)  # pyright: ignore[reportArgumentType]
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(_MEASURES)
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))  # pyright: ignore[reportCallIssue, reportArgumentType]

    def note(line: ConsoleMessage) -> None:
        if "Content Security" in line.text:
            errors.append(line.text)

    page.on("console", note)
    try:
        yield page
    finally:
        context.close()
    assert errors == []


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true in a page.

    Playwright's own way would evaluate text inside the page, which the page forbids.
    """
    deadline = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)
