"""The whole service in Chromium: real cameras, real workers, the real command."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from streamdenoise.security.passwords import Cost, hash_password
from tests.faults.servers import GstServer
from tests.serve.test_service import serving
from tests.serve.web.browser import chromium, tab, until
from tests.support.web import MULTIPART, WebServer

pytestmark = pytest.mark.long

PASSWORD = "correct horse"
WIDTH, HEIGHT, SIGMA = 240, 180, 20.0


@dataclass
class House:
    """A service with a noisy camera, `street`, and one on an RTSP server, `door`."""

    door: GstServer
    base: str
    recordings: Path


def noisy_camera(handler: BaseHTTPRequestHandler) -> None:
    """Answers with JPEGs in a row, 10 a second: a moving gradient in noise."""
    jpegs = [noisy_jpeg(number) for number in range(20)]
    handler.send_response(200)
    handler.send_header("Content-Type", MULTIPART)
    handler.end_headers()
    for data in itertools.cycle(jpegs):
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
        handler.wfile.write(f"{head}\r\n\r\n".encode() + data + b"\r\n")
        if handler.server.closing.wait(0.1):  # pyright: ignore[reportAttributeAccessIssue]
            return


def noisy_jpeg(number: int) -> bytes:
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    clean = 110 + 50 * np.sin((x + 4 * number) / 30) * np.cos(y / 30)
    noise = np.random.default_rng(number).normal(0, SIGMA, clean.shape)
    levels = (clean + noise).clip(0, 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return data.tobytes()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    (folder / "recordings").mkdir()
    secret = hash_password(PASSWORD, Cost(n=2**10, p=1))
    with (
        GstServer(size=(160, 120), rate=5, protocols="tcp") as door,
        WebServer(noisy_camera) as street,
    ):
        text = f"""
[server]
address = "127.0.0.1:0"
[server.users.ann]
secret = "{secret}"
[server.users.bob]
secret = "{secret}"
rights = "view"
[defaults]
model = "pico"
# Also where the machine is busy, both halves are compared.
max-lag = 60000
[cameras.street]
title = "Street"
source = "{street.url("/video.mjpeg")}"
recordings = "{folder / "recordings"}"
[cameras.door]
source = "{door.url()}"
transport = "tcp"
timeout = 3
"""
        with serving(folder, text) as service:
            service.wait_log("the page is at ")
            for name in ("street", "door"):
                service.wait_log(f"camera {name}: live")
            found = re.search(r"the page is at (\S+)", service.log())
            assert found
            yield House(door, found[1], folder / "recordings")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    """A page on which `ann` is logged in."""
    with tab(browser, house.base) as page:
        log_in(page, "ann")
        yield page


def log_in(page: Page, name: str) -> None:
    page.goto("/login")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("button:text('Log in')")
    page.wait_for_url(re.compile("/$"))


def watch(page: Page, name: str = "street") -> None:
    """Wait until both halves of a moving video are shown."""
    page.goto(f"/cameras/{name}")
    until(page, "video.currentTime > 0 && shown()")


def test_login_and_logout(browser: Browser, house: House):
    with tab(browser, house.base) as page:
        page.goto("/cameras/street")
        assert "/login?next=" in page.url
        page.fill("[name=name]", "ann")
        page.fill("[name=password]", "wrong")
        page.press("[name=password]", "Enter")
        page.wait_for_selector("text=This name or password is wrong")
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_selector("h1:text('Street')")
        page.click("text=Log out")
        page.wait_for_selector("h1:text('Log in')")
        page.goto("/")
        assert "/login?next=" in page.url


def test_frames_move_and_the_left_half_is_noisier(page: Page):
    watch(page)
    before, after = page.evaluate("shown()")
    assert before > 1.5 * after
    page.evaluate("window.then = video.currentTime; window.old = whole()")
    until(page, "video.currentTime > then + 1 && whole() != old")
    # All of it is the denoised frame, or all of it is as it came.
    slider = page.get_by_label("Border between before and after")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0 % before"
    until(page, f"shown()[0] < 0.6 * {before}")
    page.keyboard.press("End")
    until(page, f"shown()[1] > 1.5 * {after}")
    # And with a pointer.
    box = page.locator("#compare").bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert slider.get_attribute("aria-valuetext") == "25 % before"


def test_at_strength_0_both_sides_are_equal(page: Page):
    watch(page)
    until(page, "whole() > 4")
    strength = page.locator("[name=strength]")
    strength.focus()
    page.keyboard.press("Home")
    page.wait_for_selector("text=0 (unchanged)")
    until(page, "whole() < 1.5")
    strength.fill("1")
    until(page, "whole() > 4")


def test_viewers_see_everything_and_change_nothing(browser: Browser, house: House):
    with tab(browser, house.base) as page:
        log_in(page, "bob")
        watch(page)
        assert page.is_disabled("[name=strength]")
        assert page.is_disabled("[name=enabled]")
        page.wait_for_selector("text=You may look, but not change anything.")


def test_a_lost_camera_shows_as_lost_and_comes_back(page: Page, house: House):
    page.goto("/")
    page.wait_for_selector(".card[data-status=live]:has-text('door') img:visible")
    watch(page, "door")
    house.door.kill()
    page.wait_for_selector("#camera[data-status=lost]")
    page.wait_for_selector("#away:text('No video. Trying again.')")
    assert page.inner_text("#reason")
    page.wait_for_selector(".event.lost")
    page.evaluate("window.old = whole()")
    house.door.restart()
    page.wait_for_selector("#camera[data-status=live]")
    page.wait_for_selector(".event.back")
    until(page, "whole() && whole() != old")


def test_recordings_are_made_played_and_deleted(page: Page, house: House):
    page.on("dialog", lambda dialog: dialog.accept())
    watch(page)
    page.check("[name=recording]")
    until(page, "document.querySelector('[name=recording]').checked")
    page.wait_for_selector(".event.recording")
    page.wait_for_timeout(2000)
    page.uncheck("[name=recording]")
    page.click("#recordings button:text('Play')")
    until(page, "document.querySelector('#player video').currentTime > 0.3")
    page.keyboard.press("Escape")
    (file,) = house.recordings.rglob("*.mp4")
    page.click("#recordings button:text('Delete')")
    page.wait_for_selector("text=Nothing is recorded.")
    assert not file.exists()


def test_an_image_is_tried(page: Page, tmp_path: Path):
    image = tmp_path / "image.jpg"
    image.write_bytes(noisy_jpeg(1))
    page.click("text=Try it")
    page.set_input_files("#file", image)
    page.click("button:text('Try it')")
    # It runs at low priority, beside the cameras and other tests.
    page.wait_for_selector("#results >> text=PSNR", timeout=150_000)
    assert re.search(r"\d\d\.\d", page.inner_text("#results"))
