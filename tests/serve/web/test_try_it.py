"""The page that tries a model: what it answers, keeps and refuses, and in a browser."""

import asyncio
import http.client
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader
from playwright.sync_api import Page, sync_playwright
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from streamdenoise.jobs.trial import IMAGES, TrialLimits
from streamdenoise.serve.web import try_it
from streamdenoise.serve.web.try_it import TRY_PATH, models_to_try, try_it_router
from tests.support.clips import Clip
from tests.support.pictures import picture, saved
from tests.support.skips import skip_or_fail
from tests.support.waiting import wait_until

WEB = Path(try_it.__file__).parent
BASE = """<!doctype html><html lang="en"><head>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{% block title %}{% endblock %}</title>{% block head %}{% endblock %}</head>
<body><main>{% block content %}{% endblock %}</main></body></html>"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: "
    "data:; media-src 'self' blob:; connect-src 'self'"
)
PNG = saved(picture(8, 3, 96, 80), "png")


class Running:
    """The router alone, served by a thread; the service puts more around it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        templates = Environment(
            loader=ChoiceLoader(
                [DictLoader({"base.html": BASE}), FileSystemLoader(WEB / "templates")]
            ),
            autoescape=True,
        )

        def page(
            request: Request, name: str, code: int = 200, **context: object
        ) -> Response:
            text = templates.get_template(name).render(**context)
            return HTMLResponse(text, code, {"Content-Security-Policy": POLICY})

        app = FastAPI()
        app.include_router(try_it_router(folder, page, threads=1, **options))
        app.mount("/static", StaticFiles(directory=WEB / "static"))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def __enter__(self) -> "Running":
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(50)
        self._socket.close()
        assert not self._thread.is_alive()

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def post(self, name: str, data: bytes, **fields: str) -> tuple[int, Any]:
        body = form(name, data, fields)
        kind = "multipart/form-data; boundary=xyz"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", TRY_PATH, body, {"Content-Type": kind})
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read())
        connection.close()
        return found


def form(name: str, data: bytes, fields: dict[str, str]) -> bytes:
    head = 'Content-Disposition: form-data; name="{}"'
    parts = [
        f"--xyz\r\n{head.format(key)}\r\n\r\n{value}\r\n".encode()
        for key, value in fields.items()
    ]
    about = f'{head.format("file")}; filename="{name}"'
    parts.append(f"--xyz\r\n{about}\r\n\r\n".encode() + data + b"\r\n--xyz--\r\n")
    return b"".join(parts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trials"


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    with Running(folder, limits=TrialLimits(file_bytes=300_000)) as served:
        yield served


def test_a_trial_answers_with_scores_and_where_its_results_are(
    running: Running, folder: Path
) -> None:
    fields = {"noise": "gaussian", "level": "20", "model": "nano", "strength": "1.5"}
    code, answer = running.post("../../my photo.PNG", PNG, **fields)
    assert code == 200, answer
    assert (answer["name"], answer["model"]) == ("my photo.PNG", "nano")
    assert (answer["width"], answer["height"]) == (96, 80)
    assert answer["scores"]["after"]["psnr_db"] > answer["scores"]["before"]["psnr_db"]
    assert list(answer["files"]) == list(IMAGES)
    for address in answer["files"].values():
        code, headers, data = running.get(address)
        assert (code, headers["content-type"]) == (200, "image/png")
        assert data.startswith(b"\x89PNG")
    assert folder.stat().st_mode & 0o777 == 0o700
    (kept,) = folder.iterdir()
    assert sorted(path.name for path in kept.iterdir()) == sorted(IMAGES)
    assert str(folder) not in json.dumps(answer)


@pytest.mark.parametrize(
    ("name", "data", "fields", "why"),
    [
        ("a.m3u8", b"#EXTM3U\n", {}, "a.m3u8 cannot be tried; give an image"),
        ("a.png", PNG, {"model": "../x.json"}, "there is no model '../x.json'"),
        ("a.png", PNG, {"strength": "9"}, "strength '9' cannot be used; give a number"),
        ("a.png", PNG, {"noise": "fog", "level": "1"}, "noise of 'fog:1' is not known"),
        ("a.png", PNG, {"noise": "poisson", "level": ""}, "is not known; give"),
        ("a.png", PNG, {"noise": "speckle", "level": "-1"}, "speckle takes more than"),
        ("", PNG, {}, "there is no file"),
    ],
)
def test_what_cannot_be_tried_is_one_sentence_and_leaves_nothing(
    running: Running,
    folder: Path,
    name: str,
    data: bytes,
    fields: dict[str, str],
    why: str,
) -> None:
    code, answer = running.post(name, data, **fields)
    assert code == 422
    assert why in answer["detail"]
    assert str(folder) not in answer["detail"]
    assert not list(folder.iterdir())


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    running: Running,
) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as client:
        client.sendall(
            f"POST {TRY_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n"
            "Content-Type: multipart/form-data; boundary=xyz\r\n\r\n".encode()
        )
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as client:
        client.sendall(
            f"POST {TRY_PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            "Content-Type: multipart/form-data; boundary=xyz\r\n\r\n".encode()
        )
        assert client.recv(100).startswith(b"HTTP/1.1 411 ")


def test_a_second_one_at_the_same_time_is_refused(running: Running) -> None:
    body = form("a.png", b"hello", {})
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as client:
        # The first one has not sent all of its file yet.
        client.sendall(
            f"POST {TRY_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: multipart/form-data; boundary=xyz\r\n\r\n".encode()
            + body[:20]
        )
        refused: list[Any] = []

        def is_refused() -> bool:
            refused[:] = running.post("a.m3u8", b"")
            return refused[0] == 429

        wait_until(is_refused)
        assert refused[1]["detail"].startswith("something is being tried already")
        client.sendall(body[20:])
        assert client.recv(100).startswith(b"HTTP/1.1 422 ")
    assert running.post("a.m3u8", b"")[0] == 422


def test_results_are_deleted_after_their_time_and_at_the_start(folder: Path) -> None:
    (folder / "trial-old").mkdir(parents=True)
    (folder / "trial-old" / "noisy.png").write_bytes(b"")
    (folder / "mine").mkdir()
    with Running(folder, keep_s=0.5) as running:
        assert [path.name for path in folder.iterdir()] == ["mine"]
        code, answer = running.post("a.png", PNG)
        assert (code, answer["scores"]) == (200, None)
        wait_until(lambda: running.get(answer["files"]["noisy.png"])[0] == 404)
        assert [path.name for path in folder.iterdir()] == ["mine"]


def test_only_results_can_be_read(running: Running, folder: Path) -> None:
    (folder / "trial-x").mkdir()
    (folder / "trial-x" / "noisy.png").write_bytes(PNG)
    for path in ("/x/noisy.png", "/x/upload.png", "/..%2Fx/noisy.png", "/x/..%2Fa"):
        code, _, text = running.get(TRY_PATH + path)
        assert code == 404, text


def test_exported_models_of_a_folder_can_be_tried(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"files": {}}')
    (tmp_path / "other.json").write_text("[]")
    models = models_to_try(tmp_path)
    assert models["mine"] == str(tmp_path / "mine.json")
    assert models["nano"] == "nano"
    assert "other" not in models


@pytest.fixture
def page() -> Iterator[Page]:
    program = shutil.which("chromium")
    if program is None:
        skip_or_fail("chromium", "chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"]
        )
        yield browser.new_page(viewport={"width": 390, "height": 844})
        browser.close()


def test_the_page_tries_a_clip_on_a_phone(folder: Path, clip: Clip, page: Page) -> None:
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text))
    with Running(folder) as running:
        page.goto(f"http://127.0.0.1:{running.port}/try")
        page.set_input_files("#file", clip.path)
        page.select_option("#noise", "speckle")
        assert page.input_value("#level") == "0.1"
        page.click("button.main")
        page.wait_for_selector("#results:not([hidden])", timeout=120_000)
        page.wait_for_function(
            "[...document.querySelectorAll('.four img')]"
            ".every(image => image.naturalWidth == 64)"
            " && document.querySelector('video').readyState >= 2"
        )
        assert page.evaluate("document.querySelector('video').videoWidth") == 128
        assert " dB" in page.inner_text("#scores [data-side=after]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert wrong == []
        # What is refused is said on the page.
        page.set_input_files(
            "#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"hello"}
        )
        page.click("button.main")
        page.wait_for_selector("#refused:not([hidden])", timeout=60_000)
        assert page.inner_text("#refused").startswith("a.png is not an image")
        assert page.is_hidden("#results")
