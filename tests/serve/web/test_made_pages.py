"""The pages in Chromium, with made cameras: restarts, old browsers, attacks."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from streamdenoise.serve.config.server import ServerConfig
from streamdenoise.serve.states import CameraStatus, Event
from streamdenoise.serve.web.app import create_app
from tests.serve.web.browser import chromium, tab, until
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import Running, server_config


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_a_page_goes_on_by_itself_when_the_service_is_back(
    browser: Browser, cameras: MadeCameras
):
    config = server_config()
    first = Running(create_app(cameras, config), config)
    with tab(browser, first.page.url) as page:
        with first:
            page.goto("/cameras/yard")
            until(page, "video.currentTime > 0 && shown()")
        page.wait_for_selector("text=The service does not answer. Trying again.")
        again = ServerConfig(address=first.page.address)
        page.evaluate("window.before = video.src")
        with Running(create_app(cameras, again), again):
            until(page, "video.src != before && video.readyState > 2")
            page.wait_for_selector("#trouble", state="hidden")


def test_video_stays_close_to_the_present(browser: Browser, opened: Running):
    with tab(browser, opened.page.url) as page:
        page.goto("/cameras/yard")
        until(page, "video.currentTime > 0 && shown()")
        # As after a pause: what is behind is left out.
        page.evaluate("video.currentTime = video.buffered.start(0)")
        page.wait_for_timeout(2000)
        until(
            page,
            "video.buffered.end(video.buffered.length - 1) - video.currentTime < 1.5",
        )


def test_browsers_without_media_source_get_images(browser: Browser, opened: Running):
    with tab(browser, opened.page.url) as page:
        page.add_init_script(
            "delete window.MediaSource; delete window.ManagedMediaSource"
        )
        page.goto("/cameras/yard")
        until(page, "document.getElementById('still').naturalWidth == 320")
        assert page.is_hidden("#video")
        assert page.is_hidden("#compare")


def test_texts_are_never_markup(
    browser: Browser, opened: Running, cameras: MadeCameras
):
    attack = "<img src=/x onerror=document.title='attacked'>\"'{{7*7}}"
    cameras.set(
        "yard", title=attack, source=attack, reason=attack, status=CameraStatus.LOST
    )
    cameras.given = [Event(time=1, camera="yard", kind="lost", text=attack)]
    with tab(browser, opened.page.url) as page:
        for path in ("/", "/cameras/yard"):
            page.goto(path)
            page.wait_for_selector(f".event >> text={attack[:10]}")
            shown = page.locator("h1, .title").all_inner_texts()
            assert attack in shown
            assert page.title() != "attacked"
            assert page.locator("img[src='/x']").count() == 0


def test_thumbnails_are_asked_for_only_while_they_are_seen(
    browser: Browser, cameras: MadeCameras
):
    cameras = MadeCameras(cameras.folder, [f"camera-{n}" for n in range(12)])
    config = server_config()
    with (
        Running(create_app(cameras, config), config) as running,
        tab(browser, running.page.url, viewport={"width": 390, "height": 500}) as page,
    ):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/")
        page.wait_for_selector(".card img:visible")
        page.wait_for_timeout(2500)
        first = [url for url in asked if "/camera-0/frame.jpg" in url]
        last = [url for url in asked if "/camera-11/frame.jpg" in url]
        assert len(first) >= 2
        assert last == []
        page.locator(".card").last.scroll_into_view_if_needed()
        until(
            page, "[...document.querySelectorAll('.card img')].at(-1).naturalWidth > 0"
        )


@pytest.mark.parametrize("path", ["/", "/cameras/yard", "/docs", "/login"])
def test_pages_fit_a_phone(browser: Browser, guarded: Running, path: str):
    client = guarded.client()
    client.log_in()
    with tab(
        browser,
        guarded.page.url,
        viewport={"width": 320, "height": 640},
        has_touch=True,
    ) as page:
        if path != "/login":
            page.context.add_cookies(
                [
                    {
                        "name": "session",
                        "value": client.cookies["session"],
                        "url": guarded.page.url,
                    }
                ]
            )
        page.goto(path)
        page.wait_for_selector("h1")
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
